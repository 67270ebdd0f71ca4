#!/bin/sh
# Formats Kafka's data directory; einmal's needs none. `random-uuid` is asked for a cluster id.
if [ "${1:-}" = random-uuid ]; then echo einmalAAAAAAAAAAAAAAAA; fi
exit 0
