#!/bin/sh
# Pushes the service's image to Artifact Registry: deploy/gcp/push.sh PROJECT REGION [IMAGE]
# Needs gcloud with credentials, and Docker. Prints the image by its digest.
set -eu
project=${1:?usage: push.sh PROJECT REGION [IMAGE]}
region=${2:?usage: push.sh PROJECT REGION [IMAGE]}
image=${3:-lung-nodules-service:0.1.0}
registry=$region-docker.pkg.dev
target=$registry/$project/lung-nodules/service:${image##*:}
gcloud artifacts repositories describe lung-nodules --project "$project" --location "$region" >/dev/null 2>&1 \
    || gcloud artifacts repositories create lung-nodules --project "$project" --location "$region" \
        --repository-format docker --immutable-tags
gcloud auth print-access-token | docker login --username oauth2accesstoken --password-stdin "https://$registry" >/dev/null
docker tag "$image" "$target"
docker push --quiet "$target" >/dev/null
gcloud artifacts docker images describe "$target" --project "$project" --format 'value(image_summary.fully_qualified_digest)'
