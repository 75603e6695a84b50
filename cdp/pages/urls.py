"""The addresses of people's own pages. Each ends with a signed link's token, and nothing else says whose page it is."""

from django.urls import path

from cdp.pages import confirming, preferences, receipts, rights, unsubscribing

urlpatterns = [
    path("privacy/<str:token>/", preferences.view, name="preferences"),
    path("privacy/<str:token>/data/", rights.ask, name="ask"),
    path("privacy/<str:token>/receipts/", receipts.receipts, name="receipts"),
    path("privacy/<str:token>/receipts/<uuid:record>/", receipts.receipt, name="receipt"),
    path("privacy/<str:token>/receipts/<uuid:record>/file/", receipts.file, name="receipt-file"),
    path("prove/<str:token>/", rights.prove, name="prove"),
    path("confirm/<str:token>/", confirming.view, name="confirm"),
    # Mail programs post to this address as it stands in the message, and follow no redirect (RFC 8058).
    path("unsubscribe/<str:token>", unsubscribing.view, name="unsubscribe"),
]
