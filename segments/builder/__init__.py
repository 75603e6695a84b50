"""The screen on which a rule is built: what is shown of a draft, what each control asks for, and what is counted meanwhile.

The draft is the rule's JSON, which the page carries; each step is answered with the page of the draft after it, and nothing is kept
here in between. What a step does to a rule is in `segments.rules.edit`.
"""
