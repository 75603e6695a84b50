"""The rule language: from a JSON document to people, to SQL, and to English. Pure, and typed.

    rule = load(document, catalog)              a Rule, or RuleErrors with every error at its place
    compile_rule(rule, catalog, scoped=False)   the query for everybody, `scoped=True` for given profiles
    leaves(rule), compile_leaf, combine         each distinct condition once, then boolean algebra
    depends_on(rule)                            what must change for the verdict to change
    describe(rule, catalog)                     the rule in one English sentence
    evaluate(rule, person, as_of)               the verdict on one person: the reference for every engine
    compile_edges(leaf, catalog), edges(...)    whose verdict may change between two moments by time alone
    compile_figures(figure, catalog)            the figure of everybody who is ranked by it
    json_schema()                               the published JSON Schema of the document

Databases, Django and HTTP don't belong here: this package imports the standard library and sqlglot only.
"""

from segments.rules.algebra import Dependencies, combine, depends_on, leaves, positive, takes_in_strangers
from segments.rules.binding import Span
from segments.rules.catalog import (
    ByHand,
    Catalog,
    ConsentMode,
    EventInfo,
    ListInfo,
    PurposeInfo,
    ScoreInfo,
    SegmentInfo,
    TraitInfo,
    Type,
)
from segments.rules.check import HEALED_BY_PUBLISHING, check
from segments.rules.comparisons import Filter, FilterGroup
from segments.rules.compile import (
    AHEAD,
    MOST_TOGETHER,
    compile_leaf,
    compile_rule,
    compile_together,
    place,
)
from segments.rules.compiled import LOGICAL_TABLES, Compiled
from segments.rules.counting import compile_counts
from segments.rules.describe import describe
from segments.rules.edges import compile_edges, compile_stretch, edges, edges_ahead, stretches
from segments.rules.errors import RuleError, RuleErrors
from segments.rules.evaluate import Occurrence, Person, evaluate
from segments.rules.figures import compile_figures
from segments.rules.folding import fold
from segments.rules.kinds import Value
from segments.rules.measures import MEASURES, Measure
from segments.rules.nodes import (
    VERSION,
    All,
    Any,
    Bucket,
    Compared,
    Consented,
    Everyone,
    InList,
    InSegment,
    Leaf,
    Not,
    Performed,
    PositiveLeaf,
    Ranked,
    Rule,
    Score,
    Sequence,
    Step,
    Trait,
)
from segments.rules.operators import OPERATORS, Operator
from segments.rules.parse import load, parse
from segments.rules.schema import json_schema

__all__ = [
    "AHEAD",
    "HEALED_BY_PUBLISHING",
    "LOGICAL_TABLES",
    "MEASURES",
    "MOST_TOGETHER",
    "OPERATORS",
    "VERSION",
    "All",
    "Any",
    "Bucket",
    "ByHand",
    "Catalog",
    "Compared",
    "Compiled",
    "ConsentMode",
    "Consented",
    "Dependencies",
    "EventInfo",
    "Everyone",
    "Filter",
    "FilterGroup",
    "InList",
    "InSegment",
    "Leaf",
    "ListInfo",
    "Measure",
    "Not",
    "Occurrence",
    "Operator",
    "Performed",
    "Person",
    "PositiveLeaf",
    "PurposeInfo",
    "Ranked",
    "Rule",
    "RuleError",
    "RuleErrors",
    "Score",
    "ScoreInfo",
    "SegmentInfo",
    "Sequence",
    "Span",
    "Step",
    "Trait",
    "TraitInfo",
    "Type",
    "Value",
    "check",
    "combine",
    "compile_counts",
    "compile_edges",
    "compile_figures",
    "compile_leaf",
    "compile_rule",
    "compile_stretch",
    "compile_together",
    "depends_on",
    "describe",
    "edges",
    "edges_ahead",
    "evaluate",
    "fold",
    "json_schema",
    "leaves",
    "load",
    "parse",
    "place",
    "positive",
    "stretches",
    "takes_in_strangers",
]
