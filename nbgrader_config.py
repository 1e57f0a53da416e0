"""nbgrader's settings: source notebooks stay where they are, everything generated goes to build/ or student/.

nbgrader's assignment ids are the folders: `nbgrader generate_assignment lectures`.
"""

import os

root = os.path.dirname(os.path.abspath(__file__))
build = os.path.join(root, "build", "grading")
os.makedirs(build, exist_ok=True)  # SQLite makes the file, not its folder

c = get_config()  # noqa: F821  (nbgrader defines it)
c.CourseDirectory.course_id = "course"
c.CourseDirectory.root = root
c.CourseDirectory.source_directory = "."
c.CourseDirectory.release_directory = "student"
c.CourseDirectory.submitted_directory = os.path.join(build, "submitted")
c.CourseDirectory.autograded_directory = os.path.join(build, "autograded")
c.CourseDirectory.feedback_directory = os.path.join(build, "feedback")
c.CourseDirectory.db_url = "sqlite:///" + os.path.join(build, "gradebook.db")
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__"]
c.NbGrader.logfile = os.path.join(build, "nbgrader.log")

c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE (double-click this cell to edit it)"

# Seconds for one cell. Grading a notebook of the lectures takes seconds; running the whole of it takes minutes.
c.Execute.timeout = 1800
c.OverwriteCells.add_missing_cells = True
