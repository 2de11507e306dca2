"""Coverage suites: what the package says of its intervals, against toys and against closed forms.

==============  ==========================================================================
`suites`        what is measured and what is expected of it: data, read from ``suites/*.yaml``
`models`        models with closed forms, as likelihoods of the package
`closed_forms`  their coverage by summation over all data, in scipy, sharing no code with it
`measure`       the toys
`judge`         from counts to verdicts, at a stated rate of false alarms
`page`          the results, as a page and figures
==============  ==========================================================================
"""
