package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// monotonic is CLOCK_MONOTONIC in ns, the same in all processes of a machine.
func monotonic() int64 {
	const clockMonotonic = 1
	var time syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&time)), 0)
	return time.Nano()
}

// groupMember processes and commits as a member of a group until its stdin ends, and writes what happened to HISTORY.
func groupMember(bootstrap, topic, group, name, path string) error {
	events, err := newHistory(path)
	if err != nil {
		return err
	}
	note := func(op string, partition int32, more map[string]any) {
		event := map[string]any{"op": op, "member": name, "partition": partition, "at": monotonic()}
		for key, value := range more {
			event[key] = value
		}
		events.note(event)
		events.flush()
	}
	noteAll := func(op string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			for _, partition := range topics[topic] {
				note(op, partition, nil)
			}
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6*time.Second),
		kgo.RebalanceTimeout(10*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		// Between a poll and the commit of what it gave, nothing is taken away.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(noteAll("assigned")),
		kgo.OnPartitionsRevoked(noteAll("revoked")),
		kgo.OnPartitionsLost(noteAll("revoked")),
	)
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 200)
		next := map[int32]kgo.EpochOffset{}
		fetches.EachRecord(func(record *kgo.Record) {
			note("processed", record.Partition, map[string]any{"offset": record.Offset, "payload": string(record.Value)})
			next[record.Partition] = kgo.EpochOffset{Epoch: -1, Offset: record.Offset + 1}
		})
		if len(next) > 0 {
			for partition, offset := range next {
				note("committing", partition, map[string]any{"offset": offset.Offset})
			}
			// Longer than the broker is away, shorter than the rebalance may take.
			deadline, stop := context.WithTimeout(context.Background(), 5*time.Second)
			answered := make(chan struct{})
			client.CommitOffsetsSync(deadline, map[string]map[int32]kgo.EpochOffset{topic: next},
				func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
					defer close(answered)
					if err != nil {
						fmt.Fprintln(os.Stderr, name, err)
						return
					}
					for _, of := range answer.Topics {
						for _, part := range of.Partitions {
							if part.ErrorCode == 0 {
								note("committed", part.Partition, map[string]any{"offset": next[part.Partition].Offset})
							} else if err := kerr.ErrorForCode(part.ErrorCode); !errors.Is(err, kerr.RebalanceInProgress) {
								fmt.Fprintln(os.Stderr, name, err)
							}
						}
					}
				})
			<-answered
			stop()
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	return events.close()
}
