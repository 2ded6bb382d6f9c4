"""From the committed application to an image: a MONAI Application Package (MAP), by either of two ways.

The first is the packager of holoscan-cli (`packager`), the last release of it that upstream made; the second is our own
`deploy/map.Dockerfile` (`image`), which needs nothing but Docker. Both start from a clean copy of what is committed
(`staging`). What is in an image, and what it takes, is told by `sizes`. Apart from `manifests`, which reads YAML, the
standard library is all that is needed, so that `deploy/package.sh` runs where nothing of ours is installed.
"""
