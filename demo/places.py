"""Where the simulated people live and what they are called: countries, cities, postal codes, common names.

Only lists; drawing from them is the business of `people`. Combinations of names are random and mean nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Country:
    """A market of the shop. `#` in a postal code stands for a digit, `@` for a letter; the offset is that of winter."""

    code: str
    share: float
    language: str
    locale: str
    time_zone: str
    utc_offset_hours: int
    postal_code: str
    cities: tuple[str, ...]  # the largest first


COUNTRIES: Final = (
    Country("US", 0.36, "en", "en-US", "America/New_York", -5, "#####",
            ("New York", "Chicago", "Los Angeles", "Seattle", "Austin", "Boston", "Portland", "Denver")),
    Country("DE", 0.15, "de", "de-DE", "Europe/Berlin", 1, "#####",
            ("Berlin", "Hamburg", "München", "Köln", "Leipzig", "Bremen", "Dresden")),
    Country("GB", 0.13, "en", "en-GB", "Europe/London", 0, "@@# #@@",
            ("London", "Manchester", "Bristol", "Leeds", "Glasgow", "Cardiff")),
    Country("FR", 0.09, "fr", "fr-FR", "Europe/Paris", 1, "#####",
            ("Paris", "Lyon", "Marseille", "Nantes", "Bordeaux", "Lille")),
    Country("CA", 0.06, "en", "en-CA", "America/Toronto", -5, "@#@ #@#",
            ("Toronto", "Montréal", "Vancouver", "Ottawa", "Halifax")),
    Country("NL", 0.05, "nl", "nl-NL", "Europe/Amsterdam", 1, "#### @@",
            ("Amsterdam", "Rotterdam", "Utrecht", "Groningen")),
    Country("ES", 0.05, "es", "es-ES", "Europe/Madrid", 1, "#####",
            ("Madrid", "Barcelona", "Valencia", "Sevilla", "Bilbao")),
    Country("IT", 0.04, "it", "it-IT", "Europe/Rome", 1, "#####",
            ("Milano", "Roma", "Torino", "Napoli", "Bologna")),
    Country("SE", 0.03, "sv", "sv-SE", "Europe/Stockholm", 1, "### ##",
            ("Stockholm", "Göteborg", "Malmö", "Uppsala")),
    Country("PL", 0.02, "pl", "pl-PL", "Europe/Warsaw", 1, "##-###",
            ("Warszawa", "Kraków", "Gdańsk", "Wrocław")),
    Country("AU", 0.02, "en", "en-AU", "Australia/Sydney", 10, "####",
            ("Sydney", "Melbourne", "Brisbane", "Perth")),
)  # fmt: skip

WOMEN: Final = {
    "en": "Olivia Emma Amelia Grace Chloe Hannah Megan Lauren Sophie Rachel Zoe Naomi Claire Ruby Heather Joanna",
    "de": "Anna Lea Marie Julia Katrin Sabine Johanna Greta Svenja Ute Klara Jasmin Frieda Miriam Heike Luisa",
    "fr": "Camille Léa Manon Chloé Inès Juliette Élise Margaux Céline Aurélie Sylvie Nathalie Zoé Océane",
    "nl": "Sanne Fleur Lotte Anouk Femke Maaike Iris Marloes Roos Esmée Tessa Wilma",
    "es": "Lucía María Carmen Elena Marta Sofía Paula Alba Nuria Inés Rocío Pilar",
    "it": "Giulia Chiara Francesca Sara Martina Elisa Alessia Paola Lucia Bianca Ilaria Marta",
    "sv": "Elsa Astrid Maja Alva Ebba Linnéa Karin Saga Agnes Ingrid Sigrid Hanna",
    "pl": "Zofia Hanna Julia Maja Agnieszka Katarzyna Ewa Magdalena Alicja Joanna Kinga Iga",
}  # fmt: skip
MEN: Final = {
    "en": "Oliver James Noah Ethan Jack Daniel Ryan Thomas Samuel Luke Marcus Adam Nathan Owen Colin Victor",
    "de": "Lukas Jonas Felix Maximilian Stefan Jürgen Niklas Björn Matthias Tobias Emil Karsten Hannes Uwe Ole Jan",
    "fr": "Hugo Louis Théo Antoine Julien Mathieu Nicolas Rémi Étienne Lucas Bastien Olivier Yann Guillaume",
    "nl": "Daan Bram Sem Lars Thijs Ruben Jeroen Maarten Pieter Joost Niels Wouter",
    "es": "Hugo Pablo Javier Diego Álvaro Sergio Raúl Iván Marcos Andrés Joaquín Rubén",
    "it": "Leonardo Marco Luca Matteo Davide Andrea Simone Paolo Giorgio Stefano Nicolò Enrico",
    "sv": "Erik Oskar Lars Nils Axel Gustav Johan Anders Viktor Hugo Elias Björn",
    "pl": "Jakub Jan Antoni Szymon Piotr Tomasz Michał Paweł Łukasz Marcin Wojciech Adam",
}  # fmt: skip
SURNAMES: Final = {
    "en": "Smith Johnson Brown Taylor Wilson Clark Walker Hall Young King Wright Green Baker Carter Mitchell Turner "
    "Parker Collins Morgan Reed Cooper Bailey Ward Brooks Gray Price Hughes Foster Long Patel",
    "de": "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Koch Bauer Richter Klein Wolf "
    "Schröder Neumann Schwarz Braun Krüger Hartmann Lange Krause Yılmaz",
    "fr": "Martin Bernard Dubois Thomas Robert Richard Petit Durand Leroy Moreau Simon Laurent Lefèvre Roux Fournier "
    "Girard Bonnet Dupont Lambert Benali",
    "nl": "Jansen Bakker Visser Smit Meijer Mulder Bos Vos Peters Hendriks Dekker Brouwer Dijkstra Kuiper",
    "es": "García Fernández González López Martínez Sánchez Pérez Gómez Ruiz Díaz Moreno Muñoz Romero Navarro",
    "it": "Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo Conti Costa",
    "sv": "Andersson Johansson Karlsson Nilsson Eriksson Larsson Olsson Persson Svensson Lindqvist Åberg Öberg",
    "pl": "Nowak Kowalski Wiśniewski Wójcik Kamiński Lewandowski Zieliński Szymański Dąbrowski Kozłowski Mazur Król",
}  # fmt: skip
