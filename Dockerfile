# The course in a container: docker build -t course . && docker run --rm -p 8888:8888 course
# Grading in it, without a network: docker run --rm --network none -v "$PWD/folder":/folder -v "$PWD/build":/course/build course \
#   make grade SUBMISSIONS=/folder SANDBOX=no
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends git make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home course \
 && install -d -o course /course
WORKDIR /course
COPY --chown=course . .
USER course
RUN make .venv/installed
EXPOSE 8888
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
