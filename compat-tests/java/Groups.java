import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Members of groups: who has which partition, where reading goes on, and what a restart of the broker changes (nothing). */
class Groups {
    static final int PARTITIONS = 4;
    /** KIP-848: the broker assigns. */
    static final String[] CONSUMER_PROTOCOL = {"group.protocol", "consumer"};
    static final String[] COOPERATIVE = {"partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"};

    static void addTo(Map<String, Scenarios.Scenario> scenarios) {
        scenarios.put("group_shares_partitions", () -> sharesPartitions());
        scenarios.put("group_goes_on_at_the_committed_offset", Groups::goesOnAtTheCommittedOffset);
        scenarios.put("group_seeks_and_resets", Groups::seeksAndResets);
        scenarios.put("cooperative_member_keeps_what_stays_its_own", Groups::cooperativeMemberKeepsWhatStaysItsOwn);
        scenarios.put("static_member_comes_back_unnoticed", Groups::staticMemberComesBackUnnoticed);
        scenarios.put("groups_are_described", Groups::areDescribed);
        scenarios.put("group_is_undisturbed_by_a_stop_and_start", () -> undisturbedBy("STOP"));
        scenarios.put("group_is_undisturbed_by_a_kill", () -> undisturbedBy("KILL"));
        scenarios.put("group_survives_a_kill_in_a_rebalance", Groups::survivesAKillInARebalance);
        scenarios.put("group_survives_a_kill_in_a_commit", Groups::survivesAKillInACommit);
        scenarios.put("consumer_group_shares_partitions", () -> sharesPartitions(CONSUMER_PROTOCOL));
        scenarios.put("consumer_group_finds_topics_by_pattern", Groups::findsTopicsByPattern);
        scenarios.put("consumer_group_is_undisturbed_by_a_stop_and_start", () -> undisturbedBy("STOP", CONSUMER_PROTOCOL));
        scenarios.put("consumer_group_is_undisturbed_by_a_kill", () -> undisturbedBy("KILL", CONSUMER_PROTOCOL));
        scenarios.put("group_moves_to_the_consumer_protocol_and_back", Groups::movesToTheConsumerProtocolAndBack);
    }

    /** A consumer that subscribes, and notes what it is told and given. */
    static class Member implements ConsumerRebalanceListener, AutoCloseable {
        final List<String> events = new ArrayList<>(), values = new ArrayList<>();
        final KafkaConsumer<String, String> client;
        RuntimeException failure;

        Member(String group, String topic, String... settings) {
            this(group, settings);
            client.subscribe(List.of(topic), this);
        }

        Member(String group, SubscriptionPattern pattern, String... settings) {
            this(group, settings);
            client.subscribe(pattern, this);
        }

        private Member(String group, String[] settings) {
            Properties properties = new Properties();
            properties.put("bootstrap.servers", Scenarios.bootstrap);
            properties.put("group.id", group);
            properties.put("enable.auto.commit", "false");
            properties.put("auto.offset.reset", "earliest");
            properties.put("session.timeout.ms", "20000");
            properties.put("heartbeat.interval.ms", "200");
            properties.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
            for (int i = 0; i < settings.length; i += 2) properties.put(settings[i], settings[i + 1]);
            // With the other protocol these are the broker's to say.
            if ("consumer".equals(properties.get("group.protocol"))) {
                properties.keySet().removeAll(Set.of("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"));
            }
            client = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
        }

        static Set<Integer> numbers(Collection<TopicPartition> places) {
            var numbers = new TreeSet<Integer>();
            for (var place : places) numbers.add(place.partition());
            return numbers;
        }

        public void onPartitionsAssigned(Collection<TopicPartition> places) {
            events.add("assigned " + numbers(places));
        }

        public void onPartitionsRevoked(Collection<TopicPartition> places) {
            events.add("revoked " + numbers(places));
        }

        public void onPartitionsLost(Collection<TopicPartition> places) {
            events.add("lost " + numbers(places));
        }

        void poll() {
            try {
                client.poll(Duration.ofMillis(20)).forEach(record -> values.add(record.value()));
            } catch (FencedInstanceIdException error) {
                failure = error;
            }
        }

        Set<Integer> partitions() {
            return numbers(client.assignment());
        }

        public void close() {
            client.close();
        }
    }

    /** Polls the members in turn until the condition holds. */
    static void await(List<Member> members, BooleanSupplier condition) {
        long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        do {
            Scenarios.check(System.nanoTime() < deadline, "the condition never came true");
            members.forEach(Member::poll);
        } while (!condition.getAsBoolean());
    }

    /** Whether the members have all partitions between them, each one. */
    static boolean shared(List<Member> members) {
        var all = members.stream().flatMap(member -> member.partitions().stream()).toList();
        return all.size() == PARTITIONS && members.stream().noneMatch(member -> member.partitions().isEmpty());
    }

    static List<String> values(List<Member> members) {
        return members.stream().flatMap(member -> member.values.stream()).sorted().toList();
    }

    /** Until the members have read these numbers, each once. */
    static void awaitNumbers(List<Member> members, int from, int to) {
        await(members, () -> values(members).size() >= to - from);
        var expected = Scenarios.numbers(from, to).stream().sorted().toList();
        Scenarios.check(values(members).equals(expected), values(members));
    }

    /** Numbers as values, over the partitions in turn. */
    static void fill(String topic, int from, int to) throws Exception {
        try (var producer = Scenarios.producer()) {
            var sent = Scenarios.numbers(from, to).stream()
                .map(value -> producer.send(new ProducerRecord<>(topic, Integer.parseInt(value) % PARTITIONS, null, value)))
                .toList();
            producer.flush();
            for (var future : sent) future.get(60, TimeUnit.SECONDS);
        }
    }

    static void sharesPartitions(String... settings) throws Exception {
        String topic = Scenarios.create("shared", PARTITIONS), group = Scenarios.fresh("group");
        try (var first = new Member(group, topic, settings)) {
            try (var second = new Member(group, topic, settings)) {
                var members = List.of(first, second);
                await(members, () -> shared(members));
                fill(topic, 0, 100);
                awaitNumbers(members, 0, 100);
                Scenarios.check(first.values.size() == 50, first.values);
                first.client.commitSync();
                second.client.commitSync();
            }
            first.values.clear();
            await(List.of(first), () -> first.partitions().size() == PARTITIONS);
            fill(topic, 100, 140);
            awaitNumbers(List.of(first), 100, 140);
        }
    }

    static void goesOnAtTheCommittedOffset() throws Exception {
        String topic = Scenarios.create("resume", 1), group = Scenarios.fresh("group");
        Scenarios.produce(topic, Scenarios.numbers(0, 100));
        try (var member = new Member(group, topic)) {
            awaitNumbers(List.of(member), 0, 100);
            member.client.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(60)));
        }
        try (var member = new Member(group, topic)) {
            awaitNumbers(List.of(member), 60, 100);
        }
    }

    static void seeksAndResets() throws Exception {
        String topic = Scenarios.create("reset", 1), group = Scenarios.fresh("group");
        var place = new TopicPartition(topic, 0);
        Scenarios.produce(topic, Scenarios.numbers(0, 10));
        try (var member = new Member(group, topic, "auto.offset.reset", "latest")) {
            await(List.of(member), () -> member.partitions().size() == 1);
            Scenarios.check(member.client.position(place) == 10, member.client.position(place));
            member.client.seek(place, 7);
            awaitNumbers(List.of(member), 7, 10);
            member.values.clear();
            member.client.seekToBeginning(List.of(place));
            awaitNumbers(List.of(member), 0, 10);
            member.client.commitSync(Map.of(place, new OffsetAndMetadata(5000)));
        }
        // An offset beyond the end is none: the policy decides.
        try (var member = new Member(group, topic)) {
            awaitNumbers(List.of(member), 0, 10);
        }
    }

    static void cooperativeMemberKeepsWhatStaysItsOwn() throws Exception {
        String topic = Scenarios.create("cooperative", PARTITIONS), group = Scenarios.fresh("group");
        try (var first = new Member(group, topic, COOPERATIVE)) {
            await(List.of(first), () -> first.partitions().size() == PARTITIONS);
            try (var second = new Member(group, topic, COOPERATIVE)) {
                await(List.of(first, second), () -> shared(List.of(first, second)));
                var revoked = first.events.stream().filter(event -> event.startsWith("revoked [") && !event.equals("revoked []")).toList();
                Scenarios.check(revoked.size() == 1 && revoked.get(0).split(",").length == 2, first.events);
            }
        }
    }

    static void staticMemberComesBackUnnoticed() throws Exception {
        String topic = Scenarios.create("static", PARTITIONS), group = Scenarios.fresh("group");
        try (var first = new Member(group, topic, "group.instance.id", "a")) {
            Set<Integer> had;
            List<String> events;
            try (var second = new Member(group, topic, "group.instance.id", "b")) {
                await(List.of(first, second), () -> shared(List.of(first, second)));
                had = second.partitions();
                events = List.copyOf(first.events);
            }
            try (var second = new Member(group, topic, "group.instance.id", "b")) {
                await(List.of(first, second), () -> second.partitions().equals(had));
                // The third of that name fences the second.
                try (var third = new Member(group, topic, "group.instance.id", "b")) {
                    await(List.of(first, second, third), () -> third.partitions().equals(had) && second.failure != null);
                }
            }
            Scenarios.check(first.events.equals(events), first.events);
        }
    }

    static void areDescribed() throws Exception {
        String topic = Scenarios.create("described", PARTITIONS), group = Scenarios.fresh("group");
        try (var admin = Admin.create(Map.of("bootstrap.servers", Scenarios.bootstrap))) {
            try (var member = new Member(group, topic)) {
                await(List.of(member), () -> member.partitions().size() == PARTITIONS);
                var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                Scenarios.check(found.groupState().toString().equals("Stable") && found.members().size() == 1, found);
                var assigned = found.members().iterator().next().assignment().topicPartitions();
                Scenarios.check(Member.numbers(assigned).size() == PARTITIONS, found);
                Scenarios.check(admin.listGroups().all().get().stream().anyMatch(listed -> listed.groupId().equals(group)), "not listed");
                member.client.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(3)));
            }
            var place = new TopicPartition(topic, 0);
            admin.alterConsumerGroupOffsets(group, Map.of(place, new OffsetAndMetadata(5))).all().get();
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            Scenarios.check(offsets.get(place).offset() == 5, offsets);
            admin.deleteConsumerGroups(List.of(group)).all().get();
        }
    }

    static String broker(String command) throws Exception {
        var process = new ProcessBuilder("bash", "-c", System.getenv("BROKER_" + command)).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        String said = new String(process.getInputStream().readAllBytes());
        Scenarios.check(process.waitFor() == 0, command);
        return said;
    }

    /** Generations that groups began, and requests to join one, since the broker started; -1 of a broker that does not tell. */
    static int rebalancesSinceStart() throws Exception {
        if (System.getenv("BROKER_METRICS") == null) return -1;
        var counted = Pattern.compile("^(?:einmal_group_rebalances_total\\{[^}]*\\}|einmal_requests_total\\{[^}]*api=\"JoinGroup\"[^}]*\\}) (\\d+)", Pattern.MULTILINE);
        return counted.matcher(broker("METRICS")).results().mapToInt(found -> Integer.parseInt(found.group(1))).sum();
    }

    /** Two members, the broker ends and starts, and nothing happened: no callback, no JoinGroup, each record once. */
    static void undisturbedBy(String end, String... settings) throws Exception {
        String topic = Scenarios.create("undisturbed", PARTITIONS), group = Scenarios.fresh("group");
        try (var first = new Member(group, topic, settings); var second = new Member(group, topic, settings)) {
            var members = List.of(first, second);
            await(members, () -> shared(members));
            fill(topic, 0, 100);
            awaitNumbers(members, 0, 100);
            first.client.commitSync(); // what the other read stays uncommitted
            var events = Stream.of(first, second).map(member -> List.copyOf(member.events)).toList();
            Scenarios.check(rebalancesSinceStart() != 0, "rebalances are not counted");
            broker(end);
            broker("RESTART");
            fill(topic, 100, 200);
            awaitNumbers(members, 0, 200);
            first.client.commitSync();
            second.client.commitSync();
            Scenarios.check(first.events.equals(events.get(0)) && second.events.equals(events.get(1)), first.events + " and " + second.events);
            Scenarios.check(rebalancesSinceStart() <= 0, "rebalances: " + rebalancesSinceStart());
        }
    }

    static void findsTopicsByPattern() throws Exception {
        String topic = Scenarios.create("pattern", 1), group = Scenarios.fresh("group");
        var members = List.of(new Member(group, new SubscriptionPattern(topic + "(-late)?"), CONSUMER_PROTOCOL));
        try (var admin = Admin.create(Map.of("bootstrap.servers", Scenarios.bootstrap)); var member = members.get(0)) {
            await(members, () -> member.client.assignment().size() == 1);
            admin.createTopics(List.of(new NewTopic(topic + "-late", 2, (short) 1), new NewTopic(topic + "-other", 1, (short) 1))).all().get();
            await(members, () -> member.client.assignment().size() == 3);
        }
    }

    /** Members of both protocols in one group while it goes to the new one and back: each record once. */
    static void movesToTheConsumerProtocolAndBack() throws Exception {
        String topic = Scenarios.create("moves", PARTITIONS), group = Scenarios.fresh("group");
        var old = new Member(group, topic, COOPERATIVE);
        await(List.of(old), () -> shared(List.of(old)));
        fill(topic, 0, 100);
        awaitNumbers(List.of(old), 0, 100);
        old.client.commitSync();
        try (var later = new Member(group, topic, COOPERATIVE)) {
            try (var member = new Member(group, topic, CONSUMER_PROTOCOL)) {
                var all = List.of(old, later, member);
                await(all, () -> shared(all));
                fill(topic, 100, 200);
                awaitNumbers(all, 0, 200);
                all.forEach(each -> each.client.commitSync());
                old.close();
                var left = List.of(later, member);
                await(left, () -> shared(left));
                fill(topic, 200, 300);
                await(left, () -> values(all).size() >= 300);
                left.forEach(each -> each.client.commitSync());
            }
            // The last member of the new protocol has gone.
            await(List.of(later), () -> shared(List.of(later)));
            fill(topic, 300, 400);
            await(List.of(later), () -> later.values.contains("399"));
            try (var admin = Admin.create(Map.of("bootstrap.servers", Scenarios.bootstrap))) {
                var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                Scenarios.check(found.type().toString().equals("Classic") && found.members().size() == 1, found);
            }
        }
    }

    static void survivesAKillInARebalance() throws Exception {
        String topic = Scenarios.create("rebalance", PARTITIONS), group = Scenarios.fresh("group");
        var members = new ArrayList<>(List.of(new Member(group, topic)));
        await(members, () -> shared(members));
        fill(topic, 0, 100);
        awaitNumbers(members, 0, 100);
        members.get(0).client.commitSync();
        for (int kill = 0; kill < 2; kill++) {
            int told = members.get(0).events.size();
            members.add(new Member(group, topic));
            // The old members have given up their partitions and ask to join: the rebalance is under way.
            await(members, () -> members.get(0).events.size() > told);
            broker("RESTART");
            await(members, () -> shared(members));
        }
        fill(topic, 100, 200);
        awaitNumbers(members, 0, 200);
        members.forEach(Member::close);
    }

    static void survivesAKillInACommit() throws Exception {
        String topic = Scenarios.create("commits", 1), group = Scenarios.fresh("group");
        var place = new TopicPartition(topic, 0);
        var told = new AtomicLong();
        var ended = new AtomicBoolean();
        try (var admin = Admin.create(Map.of("bootstrap.servers", Scenarios.bootstrap))) {
            var failure = new AtomicReference<Throwable>();
            var committer = new Thread(() -> {
                try (var member = new Member(group, topic)) {
                    await(List.of(member), () -> member.partitions().size() == 1);
                    var events = List.copyOf(member.events);
                    for (long offset = 1; !ended.get(); offset++) {
                        member.client.commitSync(Map.of(place, new OffsetAndMetadata(offset)));
                        told.set(offset);
                    }
                    member.poll();
                    Scenarios.check(member.events.equals(events), member.events);
                } catch (Throwable error) {
                    failure.set(error);
                }
            });
            committer.start();
            for (int kill = 0; kill < 3; kill++) {
                long before = told.get();
                while (told.get() < before + 20 && committer.isAlive()) Thread.sleep(1);
                broker("KILL");
                long last = told.get();
                broker("RESTART");
                long found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get(60, TimeUnit.SECONDS).get(place).offset();
                Scenarios.check(found >= last, "offset " + last + " was committed, and " + found + " is found");
            }
            ended.set(true);
            committer.join();
            if (failure.get() != null) throw new AssertionError(failure.get());
        }
    }
}
