from __future__ import annotations

import time

import pytest

from assay.render.reasoning import REASONING_TAGS, closing_tag, opened_reasoning, strip_reasoning

PROGRAM = "import re\ndef strip(s):\n    return re.sub(r'<think>.*?</think>', '', s)\n"


@pytest.mark.parametrize("pair", REASONING_TAGS, ids=lambda pair: pair.opening)
def test_a_block_at_the_head_goes_in_any_of_the_known_tags(pair: tuple[str, str, bool]) -> None:
    opening, closing, needs_closing = pair
    assert strip_reasoning(f"{opening}\nIt is 41.\n{closing}\n82") == "\n82"
    assert strip_reasoning(f" \n{opening}41{closing}82") == "82"
    unfinished = f"{opening}\nIt is 41."
    assert strip_reasoning(unfinished) == (unfinished if needs_closing else "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("82", "82"),
        ("", ""),
        ("<think>41</think>82", "82"),
        ("<THINK>41</Think>82", "82"),
        ("<think></think>\n\n82", "\n\n82"),
        ("<think>41", ""),
        ("<think>a</think><think>b</think>82", "82"),
        ("<think>a</think>\n[THINK]b[/THINK]82", "82"),
        # The first closing tag ends it; one in quotation marks, or within a sentence, does not.
        ("<think>a</think>41</think>82", "41</think>82"),
        ("<think>re.sub('<think>.*?</think>', '', s)\n</think>82", "82"),
        ("<think>`</think>` ends it.</think>82", "82"),
        ("<think>I close with </think> and answer.\n</think>\n82", "\n82"),
        ("<think>so it is </think> the number 82", " the number 82"),
        ("<think>'</think>' is all that I say", ""),
        # What stands later is text.
        ("82<think>41", "82<think>41"),
        ("<think>a</think>82<think>b", "82<think>b"),
        ("I need no <think> part for this. 82", "I need no <think> part for this. 82"),
        ("The `<think>` tag is not used. 82", "The `<think>` tag is not used. 82"),
        ("82. I left out the </think> tag.", "82. I left out the </think> tag."),
        ("82, without </think>", "82, without </think>"),
        ("82 ('</think>' is a tag)", "82 ('</think>' is a tag)"),
        (f"```python\n{PROGRAM}```", f"```python\n{PROGRAM}```"),
        (f"<think>Hm.</think>{PROGRAM}", PROGRAM),
        ("```python\ns = '''\n</think>\n'''\n```", "```python\ns = '''\n</think>\n'''\n```"),
        ('s = """<think>\na\n</think>\n"""', 's = """<think>\na\n</think>\n"""'),
        ("# the <think> block\nx = 1", "# the <think> block\nx = 1"),
        # A text from elsewhere may begin within a block.
        ("41</think>82", "82"),
        ("It is 41.\n</think>\n\n82", "\n\n82"),
        ("It is 41. </think> 82", " 82"),
        ("They ask for <think> tags.\n</think>\n82", "\n82"),
        ("Try\n```python\nx\n```\nGood.\n</think>\n82", "\n82"),
        ("Try\n```python\nx\n</think>\n```python\ny\n```", "\n```python\ny\n```"),
        ("`</think>` is a tag.\n</think>\n82", "\n82"),
        # Channels
        (
            "<|channel|>analysis<|message|>41<|end|><|start|>assistant<|channel|>final<|message|>82",
            "82",
        ),
        ("<|channel|>final<|message|>82", "82"),
        ("analysisWe add.assistantfinal82", "82"),
        ("analysis of the sum: 82", "analysis of the sum: 82"),
        ("<|channel>thought\n41<channel|>82", "82"),
    ],
)
def test_strip_reasoning(text: str, expected: str) -> None:
    assert strip_reasoning(text) == expected


def test_tags_of_ones_own() -> None:
    assert strip_reasoning("<plan>41</plan>82") == "<plan>41</plan>82"
    assert strip_reasoning("<plan>41</plan>82", [("<plan>", "</plan>")]) == "82"
    assert strip_reasoning("<plan>41", [("<plan>", "</plan>")]) == ""
    assert strip_reasoning("<think>41</think>82", [("<plan>", "</plan>")]) == "82"


@pytest.mark.parametrize(
    ("prompt", "opening"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>\n"),
        ("<|im_start|>assistant\n", ""),
        ("assistant\n<think>\n\n</think>\n\n", ""),
        ("[/INST][THINK]", "[THINK]"),
        ("assistant: \u25c1think\u25b7", "\u25c1think\u25b7"),
        ("an analysis", ""),
    ],
)
def test_what_a_prompt_opens(prompt: str, opening: str) -> None:
    assert opened_reasoning(prompt) == opening
    if opening:
        assert strip_reasoning(f"{opening}41{closing_tag(opening)}82") == "82"


@pytest.mark.parametrize("head", ["", "<think>", "x"])
@pytest.mark.parametrize(
    "part", ["</think>", "<think>", "<think></think>", "'</think>'", "a </think> b", "<", "`", "```\n", " ", "[/", "\n"]
)
def test_endless_text_is_read_in_bounded_time(head: str, part: str) -> None:
    text = head + part * (5_000_000 // len(part))
    began = time.process_time()
    strip_reasoning(text)
    assert time.process_time() - began < 2.0
