"""What browsers and consent managers send about consent: read, checked, and put in our words.

Pure: no Django, no database, no clock. Who sent it, what is recorded of it, and whom it then concerns is decided by callers.

    gpc            Sec-GPC and DNT headers, and the document at /.well-known/gpc.json
    tcf            IAB Europe's TC strings (TCF 2.2 and 2.3)
    gpp            IAB Tech Lab's GPP strings, with their sections for the EU, Canada and the United States
    meaning        what any of these grants or takes away
    consent_mode   what we in turn tell Google's tags
"""
