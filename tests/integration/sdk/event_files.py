"""Event files as the libraries wrote them, compressed: by torch 2.13, and by tensorboard 2.21."""

from __future__ import annotations

import base64
import zlib

BY_TORCH = zlib.decompress(
    base64.b64decode(
        "eNrzYICAf5M85nL2uYl7yR245SjFm1SUmJmn51qWmldiZRSkx6VTkppXnF+UlJ9YlKJXXJqbm1hUqVdelFmSWqSXClIVn5aZkxoP"
        "EZHz93kgBzX35h0hI87uvRBztYS5BLm4cvKLi/VLQBaIMjAcsC/tS49RgKrWfLsygDNgH0S1ACMW9QvsX354dAFFfSVMPRMW9Q32"
        "Yn8DEiSh6rs/cmhwroepZ9fi4eLiYs5LBDuk/v91oR0ajBCFPx3aFnAqnYU7ZBYT13QmLsYMrYlMnBAVH+wFIQwOB0kYQxHCkHDQ"
        "hDB0HIwKOGZmSopGvbXXFvl1dp/KB/tkz2OirIc+2u8K6DWc3/HZ3tj+hcz6mq/2ra5n5h9Y9N2+0ufXo8v/f9oHt7sJZ878Y39n"
        "ylm93tL/9g8EP/KU+DI6lCfY8KVxMDu8MuMvW/yexSFjj4DpLHZ2B945RxdohnI6WBUwoIAP9gwUAUL6P9hLSJ0Rt4LyhKa+esSp"
        "fQ4ebrpc2lx8JfolqRUl8dBk48TPwS7EIsTEwejEmpGak5PvxcHFxsUCUpLT8rQLAM8Zqq4="
    )
)

BY_TENSORBOARD = zlib.decompress(
    base64.b64decode(
        "eNrzYICAf5M85nJuvSHuJXfglqMUb1JRYmaenmtZal6JlVGQHpdOSWpecX5RUn5iUYpecWlubmJRpV55UWZJapFeKkhVfFpmTmo8"
        "RORW4f7zmlBzzf/HM3CCWQ79DlpyXDJcfKkF+ckZ8YnJyaVFicmVTlwcjEIMWixAFfZHZvz6oA/VmBsrGwDR6NHvIMCopcSlgKGV"
        "j4NJiMGIA6Lhgr1usHOpBlT7/wIxL4j2AKB2Ji1pLkkM7ewcnEIMQYzsaVyr5hpC9c1tbn4J0RcB1MespcKlhKFPgINZiMGK6+9/"
        "KGBkbvzIog01oE36sDfEgAygAX/garREuYS52JPz84AhWeLEwcGoBPKyndOJEzEA3DJtuw=="
    )
)
