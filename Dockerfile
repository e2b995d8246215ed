# The enclave image and the host's programs in one go:
#
#   docker build --build-arg BASE=debian:bookworm-slim@sha256:<digest> --output out .
#   buildah build --isolation chroot --build-arg BASE=<image> --output type=local,dest=out .
#
# BASE is a Debian 12 (bookworm) with amd64 packages, named by digest: there is no default, so that
# nobody builds on what a tag happens to be today. What makes the image's bytes does not come from
# it: kernel source, compilers and libraries are those of image/locks/, crates those of Cargo.lock,
# ONNX Runtime that of setup/onnxruntime.txt. The base's own Rust makes the host's program.
ARG BASE
FROM ${BASE} AS build

# Debian keeps only the newest of a release: when it has moved on, whoever builds says so.
ARG RUST=1.96.0+dfsg1-1~deb12u2
RUN apt-get update \
 && for package in rustc-web cargo-web; do \
        apt-cache madison "$package" | grep --quiet --fixed-strings "| $RUST |" || { \
            echo "Debian's archive does not have $package $RUST, but these; name one by --build-arg RUST=VERSION:" >&2; \
            apt-cache madison "$package" >&2; \
            exit 1; \
        }; \
    done \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates "cargo-web=$RUST" debian-archive-keyring gcc libc6-dev make python3-pip "rustc-web=$RUST" \
        xz-utils \
 && apt-get check

WORKDIR /nacre
COPY . .

# Only the library and its licences; the test clients that `make setup` brings are not needed here.
RUN python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
        --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 \
        --requirement setup/onnxruntime.txt --dest /tmp/wheel \
 && mkdir -p .deps/onnxruntime \
 && python3 -m zipfile --extract /tmp/wheel/onnxruntime-*.whl /tmp/wheel/unpacked \
 && cp /tmp/wheel/unpacked/onnxruntime/capi/libonnxruntime.so.* .deps/onnxruntime/libonnxruntime.so \
 && cp /tmp/wheel/unpacked/onnxruntime/LICENSE /tmp/wheel/unpacked/onnxruntime/ThirdPartyNotices.txt .deps/onnxruntime/ \
 && rm -r /tmp/wheel

RUN cargo build --release --locked --package nacre-cli --bin nacre
# The kernel's build and the fetched packages stay out of the result.
RUN NACRE_CACHE=/tmp/nacre-cache target/release/nacre image build --output /out/nacre.eif > /tmp/measurements \
 && mv /tmp/measurements /out/measurements.txt \
 && cp target/release/nacre .deps/onnxruntime/ThirdPartyNotices.txt /out/ \
 && rm -r /tmp/nacre-cache

FROM scratch
COPY --from=build /out/ /
