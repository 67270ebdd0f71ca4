package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is what the scenarios share: an address and a name that no earlier run used.
type broker struct {
	bootstrap, run string
	ctx            context.Context
}

func (b broker) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.bootstrap),
		kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, options...)...)
	if err != nil {
		panic(err)
	}
	return client
}

func (b broker) create(name string, partitions int32) (string, error) {
	client := b.client()
	defer client.Close()
	topic := name + "-" + b.run
	_, err := kadm.NewClient(client).CreateTopic(b.ctx, partitions, 1, nil, topic)
	return topic, err
}

// send produces values to partition 0 and returns the offsets they were acknowledged with.
func (b broker) send(topic string, values []string, options ...kgo.Opt) ([]int64, error) {
	client := b.client(options...)
	defer client.Close()
	return sendBy(b.ctx, client, topic, values)
}

func sendBy(ctx context.Context, client *kgo.Client, topic string, values []string) ([]int64, error) {
	records := make([]*kgo.Record, len(values))
	for i, value := range values {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(value)}
	}
	results := client.ProduceSync(ctx, records...)
	offsets := make([]int64, len(values))
	for i, record := range records {
		offsets[i] = record.Offset
	}
	return offsets, results.FirstErr()
}

// read returns count records of partition 0 from an offset, by manual assignment.
func (b broker) read(topic string, count int, from kgo.Offset) ([]*kgo.Record, error) {
	client := b.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}))
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	var found []*kgo.Record
	for len(found) < count {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return found, fmt.Errorf("%d of %d records: %w", len(found), count, err)
		}
		found = append(found, fetches.Records()...)
	}
	return found[:count], nil
}

func (b broker) expect(topic string, from kgo.Offset, expected []string) error {
	records, err := b.read(topic, len(expected), from)
	if err != nil {
		return err
	}
	for i, record := range records {
		if string(record.Value) != expected[i] {
			return fmt.Errorf("record %d is %q, not %q", i, record.Value, expected[i])
		}
	}
	return nil
}

func numbers(from, to int) []string {
	var values []string
	for i := from; i < to; i++ {
		values = append(values, strconv.Itoa(i))
	}
	return values
}

type scenario struct {
	name string
	run  func(broker) error
}

func scenarios(bootstrap string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	b := broker{bootstrap, strconv.FormatInt(time.Now().UnixNano(), 36), ctx}
	failed := 0
	all := []scenario{
		{"create_topic_explicitly", createTopicExplicitly},
		{"create_topic_by_first_use", createTopicByFirstUse},
		{"produce_with_each_acks", produceWithEachAcks},
		{"each_codec", eachCodec},
		{"keys_headers_and_nulls", keysHeadersAndNulls},
		{"idempotent_producer", idempotentProducer},
		{"fetch_by_offset", fetchByOffset},
		{"fetch_by_time", fetchByTime},
		{"tail_with_long_poll", tailWithLongPoll},
		{"read_past_records_that_are_missing", readPastMissing},
		{"commit_and_read_offsets", commitAndReadOffsets},
		{"kill_and_restart_in_between", killAndRestartInBetween},
	}
	for _, scenario := range append(all, groupScenarios...) {
		if err := scenario.run(b); err != nil {
			failed = 1
			fmt.Println("FAIL", scenario.name, err)
		} else {
			fmt.Println("PASS", scenario.name)
		}
	}
	return failed
}

func createTopicExplicitly(b broker) error {
	topic, err := b.create("explicit", 3)
	if err != nil {
		return err
	}
	client := b.client()
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(b.ctx, topic)
	if err == nil && len(topics[topic].Partitions) != 3 {
		err = fmt.Errorf("%d partitions", len(topics[topic].Partitions))
	}
	return err
}

func createTopicByFirstUse(b broker) error {
	topic := "first-use-" + b.run
	if _, err := b.send(topic, []string{"a"}); err != nil {
		return err
	}
	return b.expect(topic, kgo.NewOffset().AtStart(), []string{"a"})
}

func produceWithEachAcks(b broker) error {
	topic, err := b.create("acks", 1)
	if err != nil {
		return err
	}
	for name, acks := range map[string]kgo.Acks{"none": kgo.NoAck(), "leader": kgo.LeaderAck()} {
		if _, err := b.send(topic, []string{name}, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite()); err != nil {
			return err
		}
	}
	if _, err := b.send(topic, []string{"all"}); err != nil {
		return err
	}
	records, err := b.read(topic, 3, kgo.NewOffset().AtStart())
	if err == nil && string(records[2].Value) != "all" {
		err = fmt.Errorf("the last is %q", records[2].Value)
	}
	return err
}

func eachCodec(b broker) error {
	topic, err := b.create("codec", 1)
	if err != nil {
		return err
	}
	var sent []string
	for i, codec := range []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	} {
		values := numbers(i*1000, i*1000+200)
		if _, err := b.send(topic, values, kgo.ProducerBatchCompression(codec)); err != nil {
			return err
		}
		sent = append(sent, values...)
	}
	return b.expect(topic, kgo.NewOffset().AtStart(), sent)
}

func keysHeadersAndNulls(b broker) error {
	topic, err := b.create("headers", 1)
	if err != nil {
		return err
	}
	client := b.client()
	defer client.Close()
	sent := []*kgo.Record{
		{Topic: topic, Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(1_700_000_000_123),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte("2")}}},
		{Topic: topic, Key: []byte("gone")},
	}
	if err := client.ProduceSync(b.ctx, sent...).FirstErr(); err != nil {
		return err
	}
	found, err := b.read(topic, 2, kgo.NewOffset().AtStart())
	if err != nil {
		return err
	}
	sameHeader := func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }
	first, second := found[0], found[1]
	if string(first.Key) != "k" || first.Timestamp.UnixMilli() != 1_700_000_000_123 ||
		!slices.EqualFunc(first.Headers, sent[0].Headers, sameHeader) || string(second.Key) != "gone" || second.Value != nil {
		return fmt.Errorf("found %+v and %+v", first, second)
	}
	return nil
}

func idempotentProducer(b broker) error {
	topic, err := b.create("idempotent", 1)
	if err != nil {
		return err
	}
	offsets, err := b.send(topic, numbers(0, 5000))
	if err != nil {
		return err
	}
	for i, offset := range offsets {
		if offset != int64(i) {
			return fmt.Errorf("record %d was acknowledged with offset %d", i, offset)
		}
	}
	return b.expect(topic, kgo.NewOffset().AtStart(), numbers(0, 5000))
}

func fetchByOffset(b broker) error {
	topic, err := b.create("by-offset", 1)
	if err != nil {
		return err
	}
	if _, err := b.send(topic, numbers(0, 100)); err != nil {
		return err
	}
	if err := b.expect(topic, kgo.NewOffset().At(57), []string{"57", "58", "59"}); err != nil {
		return err
	}
	return b.expect(topic, kgo.NewOffset().AtEnd().Relative(-1), []string{"99"})
}

func fetchByTime(b broker) error {
	topic, err := b.create("by-time", 1)
	if err != nil {
		return err
	}
	client := b.client()
	defer client.Close()
	for second := range 10 {
		record := &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(second)), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(second)*1000)}
		if err := client.ProduceSync(b.ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return b.expect(topic, kgo.NewOffset().AfterMilli(1_700_000_004_500), []string{"5", "6"})
}

func tailWithLongPoll(b broker) error {
	topic, err := b.create("tail", 1)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		time.Sleep(500 * time.Millisecond)
		_, err := b.send(topic, []string{"at last"})
		sent <- err
	}()
	if err := b.expect(topic, kgo.NewOffset().AtStart(), []string{"at last"}); err != nil {
		return err
	}
	return <-sent
}

// sendWithIds produces one batch with a record for each letter, which is its id and its value.
func sendWithIds(b broker, client *kgo.Client, topic, letters string) error {
	var records []*kgo.Record
	for _, letter := range letters {
		id := []byte(string(letter))
		records = append(records, &kgo.Record{Topic: topic, Value: id, Headers: []kgo.RecordHeader{{Key: "message-id", Value: id}}})
	}
	return client.ProduceSync(b.ctx, records...).FirstErr()
}

// fetchCounter counts the answers to Fetch.
type fetchCounter struct{ count atomic.Int64 }

func (c *fetchCounter) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == 1 {
		c.count.Add(1)
	}
}

// readPastMissing reads batches of which the first record, one in the middle and the last are missing, the last one of them at the
// end of the log.
func readPastMissing(b broker) error {
	producer := b.client(kgo.ProducerLinger(200 * time.Millisecond))
	defer producer.Close()
	topic, window := "holes-"+b.run, "window"
	configs := map[string]*string{"message.dedup.mode": &window}
	if _, err := kadm.NewClient(producer).CreateTopic(b.ctx, 1, 1, configs, topic); err != nil {
		return err
	}
	for _, letters := range []string{"ab", "bcd", "eaf", "gba"} {
		if err := sendWithIds(b, producer, topic, letters); err != nil {
			return err
		}
	}
	fetches := &fetchCounter{}
	start := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	reader := b.client(kgo.ConsumePartitions(start), kgo.WithHooks(fetches))
	defer reader.Close()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	found := ""
	readTo := func(length int) error {
		for len(found) < length && ctx.Err() == nil {
			for _, record := range reader.PollFetches(ctx).Records() {
				found += fmt.Sprint(record.Offset) + string(record.Value)
			}
		}
		return ctx.Err()
	}
	if err := readTo(14); err != nil || found != "0a1b3c4d5e7f8g" {
		return fmt.Errorf("found %s: %w", found, err)
	}
	before := fetches.count.Load()
	time.Sleep(2 * time.Second)
	if spins := fetches.count.Load() - before; spins > 10 {
		return fmt.Errorf("%d fetches in 2 s at the end", spins)
	}
	if err := sendWithIds(b, producer, topic, "h"); err != nil {
		return err
	}
	if err := readTo(17); err != nil || found != "0a1b3c4d5e7f8g11h" {
		return fmt.Errorf("found %s: %w", found, err)
	}
	return nil
}

func commitAndReadOffsets(b broker) error {
	topic, err := b.create("commit", 2)
	if err != nil {
		return err
	}
	client := b.client()
	defer client.Close()
	admin, group := kadm.NewClient(client), "group-"+b.run
	offsets := make(kadm.Offsets)
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "half way"})
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 9, LeaderEpoch: -1})
	if err := admin.CommitAllOffsets(b.ctx, group, offsets); err != nil {
		return err
	}
	found, err := admin.FetchOffsets(b.ctx, group)
	if err != nil {
		return err
	}
	first, _ := found.Lookup(topic, 0)
	second, _ := found.Lookup(topic, 1)
	if first.At != 7 || first.Metadata != "half way" || second.At != 9 {
		return fmt.Errorf("found %+v and %+v", first, second)
	}
	return nil
}

// brokerDoes runs the command that the driver gave for it.
func brokerDoes(name string) error {
	command := exec.Command("bash", "-c", os.Getenv("BROKER_"+name))
	command.Stderr = os.Stderr
	return command.Run()
}

func killAndRestartInBetween(b broker) error {
	topic, err := b.create("restart", 1)
	if err != nil {
		return err
	}
	client := b.client()
	defer client.Close()
	if _, err := sendBy(b.ctx, client, topic, numbers(0, 500)); err != nil {
		return err
	}
	var pending []error
	for _, value := range numbers(500, 600) {
		record := &kgo.Record{Topic: topic, Value: []byte(value)}
		client.Produce(b.ctx, record, func(_ *kgo.Record, err error) { pending = append(pending, err) })
	}
	if err := brokerDoes("RESTART"); err != nil {
		return err
	}
	if _, err := sendBy(b.ctx, client, topic, numbers(600, 1000)); err != nil {
		return err
	}
	if err := errors.Join(pending...); err != nil {
		return err
	}
	return b.expect(topic, kgo.NewOffset().AtStart(), numbers(0, 1000))
}
