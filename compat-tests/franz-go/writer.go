package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// payload is a value as the history checker wants it: producer, number, fill, CRC-32 over what stands before.
func payload(name string, seq int) []byte {
	body := fmt.Sprintf("%s/%d/%s", name, seq, strings.Repeat("x", 20+seq%200))
	return []byte(fmt.Sprintf("%s/%08x", body, crc32.ChecksumIEEE([]byte(body))))
}

// writer produces unique values, idempotently and with acks=all, until its stdin ends, and writes what happened to HISTORY.
func writer(bootstrap, topic, partitions, name, path string) error {
	count, err := strconv.Atoi(partitions)
	if err != nil {
		return err
	}
	events, err := newHistory(path)
	if err != nil {
		return err
	}

	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RetryTimeout(10*time.Minute),
		kgo.MaxBufferedRecords(2000),
	)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for seq := 0; ; seq++ {
		select {
		case <-ended:
			client.Flush(context.Background())
			client.Close()
			return events.close()
		case <-time.After(time.Millisecond):
		}
		partition := int32(seq % count)
		events.note(map[string]any{"op": "invoke", "producer": name, "seq": seq})
		record := &kgo.Record{Topic: topic, Partition: partition, Value: payload(name, seq)}
		client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, name, seq, err)
				events.note(map[string]any{"op": "unknown", "producer": name, "seq": seq})
				return
			}
			events.note(map[string]any{"op": "ok", "producer": name, "seq": seq, "partition": record.Partition, "offset": record.Offset})
		})
	}
}
