"""Evidence files: what a log signed, put together so that anybody sees its lie (specs/80-evidence).

    verdict = judge(data, log_id=None, policy=None)
    verdict.outcome                 # "proven", "nothing" or "undecided"
    verdict.rule, verdict.sentence

A file that proves nothing is the finder's fault, or an attempt to frame an honest log. So a judge
asks for all that the kind names, trusts only what the log's key signed and what hashes bind to it,
and believes the finder in nothing.

`parse` reads a file, `judging` decides with one function a kind: `kinds` what a tree shows,
`chains` what takes a replay. An auditor makes files with `making`.
"""

from verifier.evidence.judging import NOTHING, PROVEN, UNDECIDED, Verdict, judge

__all__ = ["NOTHING", "PROVEN", "UNDECIDED", "Verdict", "judge"]
