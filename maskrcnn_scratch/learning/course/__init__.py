"""A class: an nbgrader course made from the lessons, and its hidden tests.

A hidden test is the public check with other inputs, those of the course's seed. So
nothing about it need be secret but that number, which feedback does not show.
"""
