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
c.CourseDirectory.submitted_directory = "build/grading/submitted"
c.CourseDirectory.autograded_directory = "build/grading/autograded"
c.CourseDirectory.feedback_directory = "build/grading/feedback"
c.CourseDirectory.db_url = os.environ.get("GRADEBOOK") or "sqlite:///" + os.path.join(build, "gradebook.db")
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__"]
c.NbGrader.logfile = os.path.join(build, "nbgrader.log")

c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE (double-click this cell to edit it)"
