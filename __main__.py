"""Run the MONAI Deploy application: `python . -i DICOM_FOLDER -o OUT -m models`, from any directory."""

import signal

if __name__ == "__main__":
    # Kept until the command takes them (execution.end_on_signals): as the first process of a container this one would
    # lose those that come while its libraries are imported, which takes seconds.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

from app.command import main

if __name__ == "__main__":
    main()
