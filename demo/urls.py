"""The demo shop's own page; there is none where the data is real."""

from django.urls import path

from demo import storefront

urlpatterns = [path("shop", storefront.view, name="demo-shop")]
