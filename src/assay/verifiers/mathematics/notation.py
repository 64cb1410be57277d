"""The mathematical notation that is known, as data: each entry has a case in `math_cases` or a row in the tests."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Each line: what is written --> the one spelling that the grammar reads.
SAME_SIGN = {
    "×": "\\times ",
    "⋅": "\\cdot ",
    "·": "\\cdot ",
    "∙": "\\cdot ",
    "÷": "\\div ",
    "−": "-",
    "–": "-",
    "π": "\\pi ",
    "∞": "\\infty ",
    "√": "\\sqrt ",
    "∪": "\\cup ",
    "∩": "\\cap ",
    "∅": "\\emptyset ",
    "∈": "\\in ",
    "∖": "\\setminus ",
    "≤": "\\le ",
    "⩽": "\\le ",
    "≥": "\\ge ",
    "⩾": "\\ge ",
    "≠": "\\ne ",
    "≈": "\\approx ",
    "±": "\\pm ",
    "∓": "\\mp ",
    "°": "\\degree ",
    "∘": "\\circ ",
    "ℝ": "\\mathbb{R}",
    "ℤ": "\\mathbb{Z}",
    "ℕ": "\\mathbb{N}",
    "ℚ": "\\mathbb{Q}",
    "ℂ": "\\mathbb{C}",
    "⟨": "\\langle ",
    "⟩": "\\rangle ",
    "〈": "\\langle ",
    "〉": "\\rangle ",
    "⌊": "\\lfloor ",
    "⌋": "\\rfloor ",
    "⌈": "\\lceil ",
    "⌉": "\\rceil ",
    "…": "\\ldots ",
    "′": "'",
    "’": "'",
    "″": "''",
    "¢": "\\cent ",
    "€": "\\euro ",
    "£": "\\pounds ",
    "¥": "\\yen ",
    "α": "\\alpha ",
    "β": "\\beta ",
    "γ": "\\gamma ",
    "δ": "\\delta ",
    "θ": "\\theta ",
    "λ": "\\lambda ",
    "μ": "\\mu ",
    "σ": "\\sigma ",
    "τ": "\\tau ",
    "φ": "\\phi ",
    "ω": "\\omega ",
}
COMMANDS = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "nicefrac": "frac",
    "sfrac": "frac",
    "dbinom": "binom",
    "tbinom": "binom",
    "leq": "le",
    "leqslant": "le",
    "leqq": "le",
    "geq": "ge",
    "geqslant": "ge",
    "geqq": "ge",
    "neq": "ne",
    "not=": "ne",
    "isin": "in",
    "ast": "cdot",
    "cdotp": "cdot",
    "varnothing": "emptyset",
    "infin": "infty",
    "lbrace": "{",
    "rbrace": "}",
    "lbrack": "[",
    "rbrack": "]",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "mid": "|",
    "Vert": "|",
    "lVert": "|",
    "rVert": "|",
    "lparen": "(",
    "rparen": ")",
    "colon": ":",
    "dots": "ldots",
    "cdots": "ldots",
    "dotsc": "ldots",
    "dotsb": "ldots",
    "hdots": "ldots",
    "backslash": "setminus",
    "smallsetminus": "setminus",
    "bigcup": "cup",
    "vee": "or",
    "lor": "or",
    "wedge": "and",
    "land": "and",
    "varphi": "phi",
    "vartheta": "theta",
    "varepsilon": "epsilon",
    "thickapprox": "approx",
    "simeq": "approx",
    "top": "transposed",
    "intercal": "transposed",
    "textdegree": "degree",
    "textcelsius": "celsius",
    "celsius": "celsius",
    "textdollar": "$",
    "dollar": "$",
    "textpercent": "%",
    "percent": "%",
    "texteuro": "euro",
    "EUR": "euro",
    "textsterling": "pounds",
    "pound": "pounds",
    "textcent": "cent",
    "textyen": "yen",
    "exponentialE": "e",
    "imaginaryI": "i",
    "real": "reals",
    "Reals": "reals",
    "R": "reals",
    "tg": "tan",
    "ctg": "cot",
    "cotg": "cot",
    "cosec": "csc",
    "arctg": "arctan",
    "arcctg": "arccot",
    "arsinh": "arcsinh",
    "arcosh": "arccosh",
    "artanh": "arctanh",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sh": "sinh",
    "ch": "cosh",
    "th": "tanh",
}

SPACES = frozenset({",", ";", ":", "!", ">", " ", "quad", "qquad", "enspace", "thinspace", "medspace", "thickspace"})
READ_OVER = words(
    # Fences and sizes of fences,
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm biggm Biggm "
    # styles and sizes that hold for what follows,
    "displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits mathstrut strut null relax allowbreak "
    "bf bfseries it itshape rm rmfamily sf sffamily tt ttfamily cal sc scshape sl slshape em upshape mdseries "
    "normalfont boldmath unboldmath tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge "
    "centering noindent nobreak"
)
"""Commands without an argument that change nothing but looks."""
STYLES = words(
    "mathbf boldsymbol bm pmb mathit mathsf mathtt mathcal mathscr mathfrak mathnormal mathord mathbin mathop mathop "
    "mathopen mathclose mathinner mathrel ensuremath underline uline emph boxed fbox smash hbar_ vcenter "
    "textup textmd textnormal_ "
) - {"hbar_", "textnormal_", "mathop", "mathfrak"}
"""Commands with one argument that change nothing but its looks."""
FIRST_ARGUMENT_IS_LOOKS = {
    "color": 1,
    "textcolor": 1,
    "colorbox": 1,
    "fcolorbox": 2,
    "style": 1,
    "class": 1,
    "raisebox": 1,
}
"""Commands whose first arguments are a colour or a length; what follows is shown in it."""
UNSEEN = frozenset({"phantom", "hphantom", "vphantom", "hspace", "hspace*", "vspace", "label", "tag", "tag*", "mspace"})
"""Commands that show nothing, or nothing of the answer, with one argument."""
TEXTS = words(
    "text textrm textbf textit textsf texttt textsc textsl textnormal textup textmd mbox hbox fbox_ mathrm "
    "operatorname operatorname* mathup rm_"
) - {"fbox_", "rm_"}
"""Commands whose argument is upright: words, units, and names of functions."""

FUNCTIONS = words(
    "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sech csch arcsinh arccosh "
    "arctanh ln log lg exp cis"
)
TRIGONOMETRIC = words("sin cos tan cot sec csc cis")
INVERSES = {
    **{name: f"arc{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")},
}
GROUPED = {"max": "max", "min": "min", "gcd": "gcd", "lcm": "lcm"}
"""Functions of several arguments in parentheses."""
BARE_WORDS = {
    **{name: name for name in FUNCTIONS},
    **{name: COMMANDS[name] for name in ("arctg", "ctg", "tg", "asin", "acos", "atan", "arsinh", "arcosh", "artanh")},
    **GROUPED,
    "sqrt": "sqrt",
    "pi": "pi",
    "infinity": "infty",
    "infty": "infty",
    "inf": "infty",
    "oo": "infty",
    "theta": "theta",
    "alpha": "alpha",
    "beta": "beta",
}
"""Words that stand for a command where nobody wrote its backslash."""
GREEK = words(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega ell hbar"
)
FUNCTION_LETTERS = frozenset("fgh")
"""Letters that are functions wherever they stand before parentheses."""
GREEK_FUNCTIONS = frozenset({"Gamma", "Phi", "Psi", "phi", "psi", "zeta"})
ACCENTS = words("hat widehat tilde widetilde vec bar overline overrightarrow overleftarrow dot ddot check breve")
"""Commands with one argument that make another letter of a letter."""
NAMING = frozenset({"angle", "triangle", "measuredangle", "odot", "square", "parallel", "perp"})
"""Signs before the name of a figure."""

RELATIONS = {"=": "=", "<": "<", ">": ">", "<=": "le", ">=": "ge", "!=": "ne", "==": "=", "=<": "le", "=>": "ge"}
RELATION_COMMANDS = {"le": "le", "ge": "ge", "ne": "ne", "lt": "<", "gt": ">", "in": "in", "approx": "approx"}

MATRICES = words(
    "matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array psmallmatrix bsmallmatrix pmatrix* bmatrix* "
    "vsmallmatrix matrix*"
)
ARITY = {"frac": 2, "binom": 2, "sqrt": 1, "root": 1, **dict.fromkeys(ACCENTS, 1)}
HEAVY = ("\\int", "\\sum", "\\prod", "\\lim", "\\iint", "\\oint", "\\det", "\\Re", "\\Im")
"""Commands that the grammar leaves to math-verify."""

ALL_REALS = frozenset(
    ["all real numbers", "all reals", "all real", "the real numbers", "real numbers", "any real number", "the reals"]
)
NOTHING = frozenset(["no solution", "no solutions", "empty set", "the empty set", "null set", "none"])
BASE_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "sixteen": 16, "hex": 16, "bin": 2, "oct": 8, "dec": 10,
}  # fmt: skip
