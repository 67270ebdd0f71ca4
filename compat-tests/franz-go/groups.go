package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var groupScenarios = []scenario{
	{"group_shares_partitions", groupSharesPartitions},
	{"group_goes_on_at_the_committed_offset", groupGoesOnAtTheCommittedOffset},
	{"cooperative_member_keeps_what_stays_its_own", cooperativeMemberKeepsWhatStaysItsOwn},
	{"static_member_comes_back_unnoticed", staticMemberComesBackUnnoticed},
	{"groups_are_described", groupsAreDescribed},
	{"group_is_undisturbed_by_a_stop_and_start", groupIsUndisturbedByAStopAndStart},
	{"group_is_undisturbed_by_a_kill", groupIsUndisturbedByAKill},
}

const groupPartitions = 4

// member is a client in a group, read by a goroutine; it notes what it is told and given.
type member struct {
	*kgo.Client
	mutex  sync.Mutex
	owned  map[int32]bool
	events []string
	values []string
	ended  chan struct{}
}

func (b broker) join(group, topic string, options ...kgo.Opt) *member {
	m := &member{owned: map[int32]bool{}, ended: make(chan struct{})}
	note := func(what string, owns bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			m.mutex.Lock()
			defer m.mutex.Unlock()
			partitions := slices.Sorted(slices.Values(topics[topic]))
			m.events = append(m.events, fmt.Sprint(what, partitions))
			for _, partition := range partitions {
				if owns {
					m.owned[partition] = true
				} else {
					delete(m.owned, partition)
				}
			}
		}
	}
	m.Client = b.client(append([]kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(20 * time.Second),
		kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(note("assigned", true)),
		kgo.OnPartitionsRevoked(note("revoked", false)),
		kgo.OnPartitionsLost(note("lost", false)),
	}, options...)...)
	go func() {
		defer close(m.ended)
		for {
			fetches := m.PollFetches(b.ctx)
			if fetches.IsClientClosed() || b.ctx.Err() != nil {
				return
			}
			m.mutex.Lock()
			for _, record := range fetches.Records() {
				m.values = append(m.values, string(record.Value))
			}
			m.mutex.Unlock()
		}
	}()
	return m
}

func (m *member) leave() {
	m.Close()
	<-m.ended
}

func (m *member) partitions() []int32 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var owned []int32
	for partition := range m.owned {
		owned = append(owned, partition)
	}
	return slices.Sorted(slices.Values(owned))
}

func (m *member) read() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.values)
}

func (m *member) told() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.events)
}

// until waits for a condition.
func (b broker) until(what string, holds func() bool) error {
	for deadline := time.Now().Add(40 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) || b.ctx.Err() != nil {
			return fmt.Errorf("never: %s", what)
		}
	}
	return nil
}

// shared tells whether the members have all partitions between them, each one.
func shared(members ...*member) bool {
	count := 0
	for _, m := range members {
		if len(m.partitions()) == 0 {
			return false
		}
		count += len(m.partitions())
	}
	return count == groupPartitions
}

func (b broker) untilShared(members ...*member) error {
	return b.until("the partitions are shared", func() bool { return shared(members...) })
}

// untilRead waits for what the members read together, in any order.
func (b broker) untilRead(from, to int, members ...*member) error {
	var read []string
	err := b.until("everything is read", func() bool {
		read = nil
		for _, m := range members {
			read = append(read, m.read()...)
		}
		return len(read) >= to-from
	})
	expected := numbers(from, to)
	slices.Sort(read)
	slices.Sort(expected)
	if err == nil && !slices.Equal(read, expected) {
		err = fmt.Errorf("%d to %d were expected, and read: %v", from, to, read)
	}
	return err
}

// fill writes numbers to the partitions in turn.
func (b broker) fill(topic string, from, to int) error {
	client := b.client()
	defer client.Close()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % groupPartitions), Value: []byte(strconv.Itoa(i))})
	}
	return client.ProduceSync(b.ctx, records...).FirstErr()
}

// firstOf is the error of the first step that has one; later ones do not run.
func firstOf(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func groupSharesPartitions(b broker) error {
	topic, err := b.create("shared", groupPartitions)
	if err != nil {
		return err
	}
	first, second := b.join("shared-"+b.run, topic), b.join("shared-"+b.run, topic)
	defer first.leave()
	return firstOf(
		func() error { return b.untilShared(first, second) },
		func() error { return b.fill(topic, 0, 100) },
		func() error { return b.untilRead(0, 100, first, second) },
		func() error { return first.CommitUncommittedOffsets(b.ctx) },
		func() error { return second.CommitUncommittedOffsets(b.ctx) },
		func() error { second.leave(); return b.untilShared(first) },
		func() error { return b.fill(topic, 100, 140) },
		func() error { return b.untilRead(0, 140, first, second) },
	)
}

func groupGoesOnAtTheCommittedOffset(b broker) error {
	topic, err := b.create("resume", 1)
	if err != nil {
		return err
	}
	group := "resume-" + b.run
	if _, err := b.send(topic, numbers(0, 100)); err != nil {
		return err
	}
	first := b.join(group, topic)
	err = firstOf(
		func() error { return b.untilRead(0, 100, first) },
		func() error {
			return first.CommitRecords(b.ctx, &kgo.Record{Topic: topic, Partition: 0, Offset: 59, LeaderEpoch: -1})
		},
	)
	first.leave()
	if err != nil {
		return err
	}
	second := b.join(group, topic)
	defer second.leave()
	return b.untilRead(60, 100, second)
}

func cooperativeMemberKeepsWhatStaysItsOwn(b broker) error {
	topic, err := b.create("cooperative", groupPartitions)
	if err != nil {
		return err
	}
	balancer := kgo.Balancers(kgo.CooperativeStickyBalancer())
	first := b.join("cooperative-"+b.run, topic, balancer)
	defer first.leave()
	if err := b.untilShared(first); err != nil {
		return err
	}
	second := b.join("cooperative-"+b.run, topic, balancer)
	defer second.leave()
	if err := b.untilShared(first, second); err != nil {
		return err
	}
	if len(first.partitions()) != 2 || len(first.told()) < 2 || len(second.partitions()) != 2 {
		return fmt.Errorf("%v and %v", first.told(), second.told())
	}
	for _, event := range first.told() {
		if event == "revoked[0 1 2 3]" {
			return fmt.Errorf("everything was taken away: %v", first.told())
		}
	}
	return nil
}

func staticMemberComesBackUnnoticed(b broker) error {
	topic, err := b.create("static", groupPartitions)
	if err != nil {
		return err
	}
	group := "static-" + b.run
	first, second := b.join(group, topic, kgo.InstanceID("a")), b.join(group, topic, kgo.InstanceID("b"))
	defer first.leave()
	if err := b.untilShared(first, second); err != nil {
		return err
	}
	had, told := second.partitions(), first.told()
	second.leave()
	second = b.join(group, topic, kgo.InstanceID("b"))
	defer second.leave()
	if err := b.until("the member is back", func() bool { return slices.Equal(second.partitions(), had) }); err != nil {
		return err
	}
	if !slices.Equal(first.told(), told) {
		return fmt.Errorf("the other was told %v", first.told())
	}
	return nil
}

func groupsAreDescribed(b broker) error {
	topic, err := b.create("described", groupPartitions)
	if err != nil {
		return err
	}
	group := "described-" + b.run
	m := b.join(group, topic)
	defer m.leave()
	if err := b.untilShared(m); err != nil {
		return err
	}
	admin := kadm.NewClient(m.Client)
	described, err := admin.DescribeGroups(b.ctx, group)
	if err != nil {
		return err
	}
	found := described[group]
	if found.State != "Stable" || len(found.Members) != 1 || found.Protocol != "range" {
		return fmt.Errorf("described as %+v", found)
	}
	listed, err := admin.ListGroups(b.ctx, "Stable")
	if err == nil && !slices.Contains(listed.Groups(), group) {
		err = fmt.Errorf("listed are %v", listed.Groups())
	}
	if err != nil {
		return err
	}
	deleted, err := admin.DeleteGroups(b.ctx, group)
	if err == nil && deleted[group].Err != kerr.NonEmptyGroup {
		err = fmt.Errorf("deleting it was answered %v", deleted[group].Err)
	}
	return err
}

// undisturbedBy has two members, does something to the broker, and nothing happened to them: no callback, each record once.
func (b broker) undisturbedBy(name string, restart func() error) error {
	topic, err := b.create("undisturbed-"+name, groupPartitions)
	if err != nil {
		return err
	}
	group := "undisturbed-" + name + b.run
	first, second := b.join(group, topic), b.join(group, topic)
	defer first.leave()
	defer second.leave()
	var told [2][]string
	return firstOf(
		func() error { return b.untilShared(first, second) },
		func() error { return b.fill(topic, 0, 100) },
		func() error { return b.untilRead(0, 100, first, second) },
		func() error { return first.CommitUncommittedOffsets(b.ctx) }, // what the other read stays uncommitted
		func() error { told = [2][]string{first.told(), second.told()}; return restart() },
		func() error { return b.fill(topic, 100, 200) },
		func() error { return b.untilRead(0, 200, first, second) },
		func() error { return first.CommitUncommittedOffsets(b.ctx) },
		func() error { return second.CommitUncommittedOffsets(b.ctx) },
		func() error {
			if !slices.Equal(first.told(), told[0]) || !slices.Equal(second.told(), told[1]) {
				return fmt.Errorf("%v and %v", first.told(), second.told())
			}
			return nil
		},
	)
}

func groupIsUndisturbedByAStopAndStart(b broker) error {
	return b.undisturbedBy("stop", func() error {
		return firstOf(func() error { return brokerDoes("STOP") }, func() error { return brokerDoes("RESTART") })
	})
}

func groupIsUndisturbedByAKill(b broker) error {
	return b.undisturbedBy("kill", func() error { return brokerDoes("RESTART") })
}
