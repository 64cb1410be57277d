"""The rule about alarms of the watch: what it saw while the run went."""

from __future__ import annotations

from assay.doctor.chart import Chart
from assay.doctor.finding import Rule, Symptom


def _hacked(chart: Chart) -> Symptom | str | None:
    alarms = chart.alarms
    if not alarms:
        return None
    first = alarms[0]
    return Symptom(
        f"the watch raised {len(alarms)} alarm{'s' if len(alarms) > 1 else ''}: {first.text}",
        {"alarms": len(alarms)},
        first.step,
        None,
        (
            "watch.on_alarm=rollback  (keeps the last checkpoint before an alarm)",
            "verifier.name=...  (a reward without the hole: assay audit ENVIRONMENT names what it pays for)",
        ),
    )


HACKED = Rule("reward hacked", "the watch raised an alarm", _hacked)
