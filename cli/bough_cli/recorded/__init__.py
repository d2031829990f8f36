"""What ran without an agent, brought to a coordinator: `bough push .bough/ID`.

`push_recorded(folder, client)` brings all there is, `follow_recorded` goes on until the script has ended. Both may be
repeated, also from two machines: the coordinator knows the job by its nonce, and its journals by their offsets.
"""

from bough_cli.recorded.folder import is_recorded
from bough_cli.recorded.pushing import follow_recorded, push_recorded

__all__ = ["follow_recorded", "is_recorded", "push_recorded"]
