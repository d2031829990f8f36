# What many repositories have: a shell script around the training, without exec.
"$PYTHON" "$TRIALS/train.py" plain "$1"
