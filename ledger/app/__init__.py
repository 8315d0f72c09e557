"""The application's side: who people are (enrolment), and the keys that say so.

A log trusts the application with one thing only: which person an identifier belongs to. It can't
read, add devices or change keys; resetting a person takes the recovery authority too.
"""
