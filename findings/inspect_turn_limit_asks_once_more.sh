#!/usr/bin/env bash
# inspect-ai 0.3.285: under turn_limit=N the model is asked N + 1 times, and the last answer is thrown away.
# The limit is documented as "on total turns (model generations) used for each sample". A turn is counted, and the limit
# looked at, after the generation: the one beyond the limit is sampled and paid for, appears in no message, and the
# sample is scored without it.
# Seen: limits of 1, 2 and 3 ask 2, 3 and 4 times; the samples hold 1, 2 and 3 answers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install inspect-ai==0.3.285
cd "$folder"
INSPECT_DISPLAY=none "$folder/venv/bin/python" - <<'PYTHON' | grep turn_limit
import tempfile

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, GenerateConfig, ModelAPI, ModelOutput, modelapi
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import ToolCall, tool

asked = []


@tool
def look():
    async def execute(x: int):
        """Look somewhere.

        Args:
            x: Where.
        """
        return "nothing"

    return execute


@modelapi(name="counting")
class Counting(ModelAPI):
    """A model that always calls the tool, and counts how often it is asked."""

    def __init__(self, model_name, base_url=None, api_key=None, config=GenerateConfig(), **more):
        super().__init__(model_name, base_url, api_key, [], config)

    async def generate(self, input, tools, tool_choice, config):
        asked.append(len(input))
        call = ToolCall(id=f"call{len(asked)}", function="look", arguments={"x": 1})
        message = ChatMessageAssistant(content="", tool_calls=[call])
        return ModelOutput(model="m", choices=[ChatCompletionChoice(message=message, stop_reason="tool_calls")])


for limit in (1, 2, 3):
    asked.clear()
    task = Task(dataset=[Sample(input="look around", target="x")], solver=[use_tools(look()), generate()])
    log, = eval(task, model="counting/m", turn_limit=limit, log_dir=tempfile.mkdtemp())
    answers = sum(message.role == "assistant" for message in log.samples[0].messages)
    print(f"turn_limit={limit}: asked {len(asked)} times, {answers} answers in the sample")
    assert (len(asked), answers) == (limit + 1, limit)
PYTHON
