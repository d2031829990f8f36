"""The contract between agent, supervisor and script: environment variables and the files of an attempt.

Everything that names a ``BOUGH_*`` variable or a file in an attempt's folder takes the name from here. The
folder of one attempt::

    attempts/<job_id>.<attempt>/
        environment.json    the interpreter that its commands find, and its packages                (agent)
        spec.json           what the agent was granted and made of it; read by the supervisor       (agent)
        job.json            what the script may know: values, limits, ids                           (agent)
        journal/<writer>.jsonl   what one process of the job reported; append-only                  (SDK)
        files/<sha256>-<bytes>   contents of files that were handed in; whole, never changed        (SDK, supervisor)
        parameters.json     the values, flat, for programs that have no SDK                         (agent)
        reports             lines of the stdout API, for programs that rather write to a file       (commands)
        log.txt             stdout and stderr of the commands, as they came                         (commands)
        control/limit       the SDK saw its epoch limit reached; holds the cause                    (SDK)
        control/desired.json     what the coordinator wants: run, pause, stop or kill               (agent)
        control/actions.json     calls of registered actions that have no result yet                 (agent)
        control/action-<id>      a process of the job took that call                                 (SDK)
        control/gpus.json   how busy the GPUs of the job are, now and then                          (agent)
        control/paused      there while the tree of the attempt is stopped                          (supervisor)
        control/stop        why the job is being stopped; written before any signal                 (supervisor)
        supervisor.json     who supervises: boot id, pid, start ticks, nonce                        (supervisor)
        supervisor.lock     held (flock) as long as the supervisor lives                            (supervisor)
        exit.json           how it ended: written once, last                                        (supervisor)
        exit.code           its exit code, one byte, where no agent runs it                         (SDK)

This module imports nothing, and runs on Python 3.7.
"""

# -- environment of a job -------------------------------------------------------------------------------------
ATTEMPT_DIR = "BOUGH_ATTEMPT_DIR"  # absolute path of the attempt's folder; present if and only if an agent runs it
JOB_ID = "BOUGH_JOB_ID"
ATTEMPT = "BOUGH_ATTEMPT"  # 1, 2, …: rises each time the job is claimed
MARKER = "BOUGH_MARKER"  # random, one per attempt: finds every process of the attempt's tree
MODEL = "BOUGH_MODEL"
OPTIMIZATION = "BOUGH_OPTIMIZATION"  # absent for a manual job
TRIAL = "BOUGH_TRIAL"  # the trial's number in its optimization; absent for a manual job
COMMIT = "BOUGH_COMMIT"
CHECKPOINT_DIR = "BOUGH_CHECKPOINT_DIR"
PARAMETERS_FILE = "BOUGH_PARAMETERS"  # path of PARAMETERS
REPORTS_FILE = "BOUGH_REPORTS"  # path of REPORTS
DATA = "BOUGH_DATA"  # a folder with a link to each data set that the job asked for; + _NAME: where one lies

# -- environment of bough's own processes: never handed to a job ----------------------------------------------
HOME = "BOUGH_HOME"  # folder of coordinator, agents and keys; default ~/.bough
BY_HAND_DIR = "BOUGH_BY_HAND_DIR"  # .bough/<id> of a script without an agent, for what it starts by multiprocessing
LIVE = "BOUGH_LIVE"  # 1: a script by hand appears live on the coordinator one is logged in to
KEY = "BOUGH_SECURE_KEY"
COORDINATOR = "BOUGH_COORDINATOR"
FAILPOINT = "BOUGH_FAILPOINT"  # where a process of bough's is to end at once: `bough._failpoints`, for tests
SECRETS = (KEY, COORDINATOR, HOME)

# -- files of an attempt's folder, relative to it -------------------------------------------------------------
SPEC = "spec.json"
JOB = "job.json"
JOURNALS = "journal"
FILES = "files"
PARAMETERS = "parameters.json"
REPORTS = "reports"
LOG = "log.txt"
CONTROL = "control"
LIMIT = "control/limit"
DESIRED = "control/desired.json"
STOP = "control/stop"
ACTIONS = "control/actions.json"
ACTION_TAKEN = "control/action-"  # + id of the call
PAUSED = "control/paused"
GPUS = "control/gpus.json"
SUPERVISOR = "supervisor.json"
SUPERVISOR_LOCK = "supervisor.lock"
EXIT = "exit.json"
EXIT_CODE = "exit.code"  # of a script without an agent: its exit code, as one byte
ENVIRONMENT = "environment.json"

# -- streams: what is shipped of a folder, by offset ----------------------------------------------------------
LOG_STREAM = "log"  # ships LOG
JOURNAL_STREAM = "journal/"  # + writer; ships JOURNALS/<writer>.jsonl
SYSTEM_WRITER = "0-"  # + 8 hex: the journal in which the supervisor notes what the job uses; no process has the pid 0
FILE_STREAM = "files/"  # + <sha256>-<bytes>; ships FILES/<the same>

# -- how much a job may hand in, where the agent does not say otherwise: the "limits" of job.json -------------
LIMITS = {"file_bytes": 1 << 30, "files_bytes": 10 << 30, "files": 5000, "journal_bytes": 4 << 30}

# -- causes of a stop, in control/stop and control/limit; also `end_reason` of the job ------------------------
MAX_EPOCHS = "max_epochs"
MAX_TIME = "max_time"
USER = "user"
PRUNED = "pruned"

# -- times of the limit protocol ------------------------------------------------------------------------------
SUPERVISOR_POLL_S = 0.05  # how often the supervisor looks at control/ (at most 0.1)
LIMIT_WAIT_S = 2.0  # how long the SDK waits for control/stop before it signals itself
