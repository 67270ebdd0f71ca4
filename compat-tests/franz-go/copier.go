package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// copier consumes, transforms and produces in transactions, some of them aborted, until its stdin ends; as Kafka's
// TransactionalMessageCopier does.
func copier(bootstrap, source, target, group, id, instance, path string) error {
	events, err := newHistory(path)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(instance)
	if err != nil {
		return err
	}
	note := func(op string, event map[string]any) {
		event["op"] = op
		events.note(event)
		events.flush()
	}
	ctx, cancel := context.WithCancel(context.Background())
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(bootstrap),
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(10*time.Second),
		kgo.ProducerLinger(2*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(target),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(source),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
	)
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	hash := fnv.New64()
	fmt.Fprint(hash, id, instance)
	chance := rand.New(rand.NewSource(int64(hash.Sum64())))
	// The client asks for its producer id with the first transaction.
	for {
		if _, _, err := session.Client().ProducerID(context.Background()); err == nil {
			break
		}
	}
	note("initialized", map[string]any{"id": id, "instance": number, "at": monotonic()})
	for count := 1; ctx.Err() == nil; count++ {
		fetches := session.PollRecords(ctx, 1+chance.Intn(200))
		if fetches.NumRecords() == 0 {
			continue
		}
		txn := fmt.Sprintf("%s.%s.%d", id, instance, count)
		if err := session.Begin(); err != nil {
			return err
		}
		note("begin", map[string]any{"id": id, "instance": number, "txn": txn, "at": monotonic()})
		next := map[int32]int64{}
		fetches.EachRecord(func(record *kgo.Record) {
			note("consumed", map[string]any{"txn": txn, "partition": record.Partition, "offset": record.Offset, "payload": string(record.Value)})
			parts := strings.SplitN(string(record.Value), "/", 3)
			seq, _ := strconv.Atoi(parts[1])
			body := parts[0] + "/" + parts[1] + "/" + txn
			value := fmt.Sprintf("%s/%08x", body, crc32.ChecksumIEEE([]byte(body)))
			sent := map[string]any{"txn": txn, "producer": parts[0], "seq": seq, "partition": record.Partition}
			note("send", sent)
			session.Produce(context.Background(), &kgo.Record{Partition: record.Partition, Value: []byte(value)}, func(record *kgo.Record, err error) {
				if err == nil {
					note("sent", map[string]any{"txn": txn, "producer": parts[0], "seq": seq, "partition": record.Partition, "offset": record.Offset})
				}
			})
			next[record.Partition] = record.Offset + 1
		})
		commits := chance.Float64() >= 0.2
		// The session stages the offsets with the end, and aborts by itself what cannot be committed.
		for partition, offset := range next {
			note("staged", map[string]any{"txn": txn, "partition": partition, "offset": offset})
		}
		note("ending", map[string]any{"txn": txn, "commit": commits, "at": monotonic()})
		committed, err := session.End(context.Background(), kgo.TransactionEndTry(commits))
		if err != nil {
			// Nobody knows the outcome.
			fmt.Fprintln(os.Stderr, txn, err)
			continue
		}
		note("ended", map[string]any{"txn": txn, "commit": committed, "at": monotonic()})
	}
	session.Close()
	return events.close()
}
