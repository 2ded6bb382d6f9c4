#!/bin/sh
# The same as configure.sh does at the Informatics Gateway, with its command line (mig-cli, on the PATH).
# Usage: configure-mig-cli.sh [GATEWAY_URL]
set -eu
mig-cli config endpoint "${1:-http://localhost:5000}"
mig-cli src add --name ORTHANC --aetitle ORTHANC --host-ip 172.29.0.100
mig-cli dst add --name ORTHANC --aetitle ORTHANC --host-ip 172.29.0.100 --port 4242
mig-cli aet add --name lung-nodules --aetitle LUNG-NODULES --grouping 0020,000D --timeout 60 \
    --allowed-sop-classes 1.2.840.10008.5.1.4.1.1.2 1.2.840.10008.5.1.4.1.1.2.1 1.2.840.10008.5.1.4.1.1.2.2
