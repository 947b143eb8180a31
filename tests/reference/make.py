"""Makes all reference values again: python tests/reference/make.py

Needs torch from PyPI. The tokenizer's values need `tokenizers` from PyPI and the text tiny-shakespeare, which
`fireside corpus fetch tiny-shakespeare` brings: give its file as the argument, or they are left as they are.
"""

import importlib.util
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def make(script, *arguments):
    print(f"{script} …", flush=True)
    return subprocess.run([sys.executable, HERE / script, *arguments], check=True, stdout=subprocess.PIPE).stdout


for script in ("schedules.py", "optimizers.py", "models.py"):
    make(script)
if len(sys.argv) < 2:
    print("tokenizer_ids.json was left as it is: give the file of tiny-shakespeare to make it again")
elif importlib.util.find_spec("tokenizers") is None:
    sys.exit("tokenizer_ids.json was left as it is: `tokenizers` from PyPI is not installed")
else:
    prose = HERE.parent.parent / "src/tokenizer/tests_prose.txt"
    made = make("tokenizer_ids.py", f"prose={prose}", f"tiny-shakespeare={sys.argv[1]}")
    (HERE / "tokenizer_ids.json").write_bytes(made)
