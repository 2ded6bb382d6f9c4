"""Run the MONAI Deploy application: `python . -i DICOM_FOLDER -o OUT -m models`, from any directory."""

from app.command import main

if __name__ == "__main__":
    main()
