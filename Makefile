# Two commands on a fresh machine (Debian or Ubuntu with make and Python 3.11 to 3.13): make run, make test.
# While you work: make quick.
#   make run NOTEBOOKS='lectures/01*.ipynb' PROFILE=full JOBS=1 TIMEOUT=7200
#   make grade SUBMISSIONS=folder SANDBOX=no GRADEBOOK=postgresql://... OPTIONS='--roster class.csv'
#   make ... PYTHON=python3.12   makes .venv with that interpreter;  make ... GPU=1   adds CUDA to it
PROFILE ?= fast
JOBS ?= 2
TIMEOUT ?= 1800

PY := $(or $(PYTHON),python3)
INSTALLED := .venv/installed$(if $(PYTHON),-$(notdir $(PYTHON)))$(if $(GPU),-gpu)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export GRADEBOOK

.PHONY: run test checks quick lint lab app student learn site slides grade gradebook format pins
.DEFAULT_GOAL := run

run: $(INSTALLED)  ## every notebook with papermill; results and report in build/run/
	@python -m utils.course.run $(NOTEBOOKS) --profile $(PROFILE) --jobs $(JOBS) --timeout $(TIMEOUT)

test: $(INSTALLED)  ## everything that CI checks, with the network cut off where the machine allows it
	@python -m utils.course.offline $(MAKE) --no-print-directory checks

checks: lint
	pytest --nbval-lax -m 'not slow' -n $(JOBS) --dist loadfile --cov=utils --cov-report=term:skip-covered \
	  tests $(wildcard try_it.ipynb lectures assignment)

QUICK := $(filter-out tests/core/test_runtime.py tests/core/test_datasets.py, $(wildcard tests/core/*.py)) tests/lectures/test_structure.py \
  tests/test_readme.py tests/test_links.py
quick: $(INSTALLED) lint  ## under a minute: style, types, and the tests that start no kernel and train nothing
	pytest -q -n $(JOBS) --dist loadfile $(QUICK)

lint: $(INSTALLED)
	ruff check . && ruff format --check . && mypy

lab: $(INSTALLED)
	jupyter lab

APP := .venv/installed-app
app: $(APP)  ## the drawing page alone, in the browser, without JupyterLab
	voila try_it.ipynb

$(APP): $(INSTALLED) requirements/app.txt
	.venv/bin/pip install --disable-pip-version-check -r requirements/app.txt
	@touch $@

student: $(INSTALLED)  ## the versions to hand out, in student/
	@python -m utils.course.release

learn: $(INSTALLED)  ## build/learn.zip, to learn alone, with hints in steps; SOLUTIONS=no leaves hints and solutions out
	@python -m utils.course.learn $(if $(filter no,$(SOLUTIONS)),--no-solutions)

SITE := .venv/installed-site
site: $(SITE)  ## the website, in build/site; SELF_CHECKS=no: without the points to name of the exam questions; SOLUTIONS=no: see learn
	@python -m utils.course.site $(if $(filter no,$(SELF_CHECKS)),--no-self-checks) $(if $(filter no,$(SOLUTIONS)),--no-solutions)

slides: $(SITE)  ## a deck from each notebook, in build/slides: NOTEBOOKS='lectures/05*.ipynb'
	@python -m utils.course.slides $(NOTEBOOKS)

$(SITE): $(INSTALLED) requirements/site.txt
	.venv/bin/pip install --disable-pip-version-check -r requirements/site.txt
	@touch $@

grade: $(INSTALLED)  ## grade a class: SUBMISSIONS=folder/<student>/<notebook>.ipynb; report in build/grading/
	@$(if $(SUBMISSIONS),,echo "Name the folder that holds one folder for each student: make grade SUBMISSIONS=folder"; exit 2;) \
	python -m utils.course.grade '$(SUBMISSIONS)' $(if $(filter no,$(SANDBOX)),--no-sandbox) $(OPTIONS)

gradebook: $(INSTALLED)  ## CSV files, a page about the class and feedback pages in build/grading/
	@python -m utils.course.class_report

format: $(INSTALLED)
	ruff check --fix . && ruff format .

PINS = uv pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 pyproject.toml
pins: $(INSTALLED)  ## compile pyproject.toml to exact versions: requirements.txt has all but CUDA, requirements/ a group a file
	pip install --quiet uv
	mkdir -p build
	$(PINS) --extra student --extra instructor --extra cluster --extra dev --output-file build/pins.txt
	(echo '-e .'; cat build/pins.txt) > requirements.txt
	for group in student instructor cluster dev site app gpu; do \
	  $(PINS) --extra $$group --constraint build/pins.txt --output-file build/$$group.txt && \
	  (echo '-e .'; cat build/$$group.txt) > requirements/$$group.txt || exit 1; done

# The file is touched last and the folder is emptied first, so that a broken or outdated installation is made anew.
$(INSTALLED): requirements.txt pyproject.toml
	@command -v $(PY) >/dev/null || { echo "$(PY) not found. Install it with: sudo apt-get install $(notdir $(PY)) $(notdir $(PY))-venv"; exit 1; }
	@$(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "$(PY) is $$($(PY) -V 2>&1), the course needs 3.11, 3.12 or 3.13. Install one, such as python3.12 with" \
	       "python3.12-venv, and name it: make PYTHON=python3.12"; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PY) cannot make virtual environments. Install the package: sudo apt-get install" \
	       "$$($(PY) -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"; exit 1; }
	$(PY) -m venv --clear .venv
	.venv/bin/pip install --disable-pip-version-check -r requirements.txt $(if $(GPU),-r requirements/gpu.txt)
	@touch .venv/installed $@
