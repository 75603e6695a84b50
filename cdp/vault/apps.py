from django.apps import AppConfig


class VaultConfig(AppConfig):
    name = "cdp.vault"
    label = "vault"
    verbose_name = "Vault"
