#!/bin/sh
# Pushes the service's image to ECR: deploy/aws/push.sh REGION [IMAGE] [REPOSITORY]
# Needs the AWS command line with credentials, and Docker. Prints the image by its digest, for ImageUri of service.yaml.
set -eu
region=${1:?usage: push.sh REGION [IMAGE] [REPOSITORY]}
image=${2:-lung-nodules-service:0.1.0}
repository=${3:-lung-nodules-service}
tag=${image##*:}
account=$(aws sts get-caller-identity --query Account --output text)
registry=$account.dkr.ecr.$region.amazonaws.com
aws ecr describe-repositories --region "$region" --repository-names "$repository" >/dev/null 2>&1 \
    || aws ecr create-repository --region "$region" --repository-name "$repository" \
        --image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true \
        --encryption-configuration encryptionType=KMS >/dev/null
aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry" >/dev/null
docker tag "$image" "$registry/$repository:$tag"
docker push --quiet "$registry/$repository:$tag" >/dev/null
digest=$(aws ecr describe-images --region "$region" --repository-name "$repository" --image-ids "imageTag=$tag" \
    --query 'imageDetails[0].imageDigest' --output text)
echo "$registry/$repository@$digest"
