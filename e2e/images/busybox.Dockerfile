# The pause container of every pod, and what tests run when any program will do.
FROM scratch
COPY . /
ENV PATH=/bin
ENTRYPOINT ["/bin/sleep"]
CMD ["infinity"]
