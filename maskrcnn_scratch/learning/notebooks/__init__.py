"""From the lessons in ``tutorial/`` to executed notebooks, and checking those.

``source`` reads a lesson, ``expand`` puts its exercises in, ``execute`` runs it,
``outputs`` and ``pictures`` make what it shows small and the same in every build,
``committed`` looks at what lies in the folder, ``build`` does all of it.
"""
