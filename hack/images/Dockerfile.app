# Aurora's own code on top of its dependencies: the only layer that a change of code makes anew.
ARG DEPENDENCIES
FROM ${DEPENDENCIES}
USER 0:0
COPY source/ /opt/aurora/lib/python3.11/site-packages/
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/aurora/lib/python3.11/site-packages/aurora_*
USER 65532:65532
ARG PROGRAM
ENV PROGRAM=${PROGRAM}
CMD ["sh", "-c", "exec python -m $PROGRAM"]
