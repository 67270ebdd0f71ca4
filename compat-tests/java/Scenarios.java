import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Kafka's own Java clients against a broker: one PASS or FAIL line for each scenario. */
public class Scenarios {
    static String bootstrap;

    interface Scenario {
        void run() throws Exception;
    }

    public static void main(String[] args) {
        bootstrap = args[0];
        var wanted = List.of(args).subList(1, args.length);
        Map<String, Scenario> scenarios = new java.util.LinkedHashMap<>();
        scenarios.put("create_topic_explicitly", Scenarios::createTopicExplicitly);
        scenarios.put("create_topic_by_first_use", Scenarios::createTopicByFirstUse);
        scenarios.put("produce_with_each_acks", Scenarios::produceWithEachAcks);
        scenarios.put("each_codec", Scenarios::eachCodec);
        scenarios.put("each_codec_to_each_that_a_topic_asks_for", Scenarios::eachCodecToEach);
        scenarios.put("keys_headers_and_nulls", Scenarios::keysHeadersAndNulls);
        scenarios.put("idempotent_by_default", Scenarios::idempotentByDefault);
        scenarios.put("fetch_by_offset", Scenarios::fetchByOffset);
        scenarios.put("fetch_by_time", Scenarios::fetchByTime);
        scenarios.put("tail_with_long_poll", Scenarios::tailWithLongPoll);
        scenarios.put("read_past_records_that_are_missing", Scenarios::readPastMissing);
        scenarios.put("commit_and_read_offsets", Scenarios::commitAndReadOffsets);
        scenarios.put("describe_cluster_and_configs", Scenarios::describeClusterAndConfigs);
        scenarios.put("kill_and_restart_in_between", Scenarios::killAndRestartInBetween);
        Groups.addTo(scenarios);
        Ui.addTo(scenarios);
        int failed = 0;
        for (var scenario : scenarios.entrySet()) {
            if (!wanted.isEmpty() && !wanted.contains(scenario.getKey())) continue;
            try {
                scenario.getValue().run();
                System.out.println("PASS " + scenario.getKey());
            } catch (Throwable error) {
                failed = 1;
                System.out.println("FAIL " + scenario.getKey() + " " + error);
                error.printStackTrace();
            }
        }
        System.exit(failed);
    }

    static void check(boolean holds, Object seen) {
        if (!holds) throw new AssertionError(String.valueOf(seen));
    }

    static String fresh(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    static String create(String name, int partitions) throws Exception {
        return create(name, partitions, Map.of());
    }

    static String create(String name, int partitions, Map<String, String> configs) throws Exception {
        String topic = fresh(name);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            NewTopic created = new NewTopic(topic, partitions, (short) 1).configs(configs);
            admin.createTopics(List.of(created)).all().get(30, TimeUnit.SECONDS);
        }
        return topic;
    }

    static KafkaProducer<String, String> producer(String... settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < settings.length; i += 2) properties.put(settings[i], settings[i + 1]);
        return new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("group.id", group);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    static List<String> numbers(int from, int to) {
        return IntStream.range(from, to).mapToObj(Integer::toString).toList();
    }

    static List<Future<RecordMetadata>> send(KafkaProducer<String, String> producer, String topic, List<String> values) {
        return values.stream().map(value -> producer.send(new ProducerRecord<>(topic, 0, null, value))).toList();
    }

    static void produce(String topic, List<String> values, String... settings) throws Exception {
        try (var producer = producer(settings)) {
            var sent = send(producer, topic, values);
            producer.flush();
            for (var future : sent) future.get(30, TimeUnit.SECONDS);
        }
    }

    static List<ConsumerRecord<String, String>> read(String topic, int count, long offset) {
        var found = new ArrayList<ConsumerRecord<String, String>>();
        var place = new TopicPartition(topic, 0);
        try (var consumer = consumer("reader")) {
            consumer.assign(List.of(place));
            consumer.seek(place, offset);
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (found.size() < count && System.nanoTime() < deadline) {
                consumer.poll(Duration.ofMillis(200)).forEach(found::add);
            }
        }
        check(found.size() >= count, found.size() + " of " + count + " records");
        return found.subList(0, count);
    }

    static void expect(String topic, long offset, List<String> values) {
        var found = read(topic, values.size(), offset).stream().map(ConsumerRecord::value).toList();
        check(found.equals(values), found);
    }

    static void createTopicExplicitly() throws Exception {
        String topic = create("explicit", 3);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            check(described.partitions().size() == 3, described);
        }
    }

    static void createTopicByFirstUse() throws Exception {
        String topic = fresh("first-use");
        produce(topic, List.of("a"));
        expect(topic, 0, List.of("a"));
    }

    static void produceWithEachAcks() throws Exception {
        String topic = create("acks", 1);
        for (String acks : List.of("0", "1", "all")) {
            produce(topic, List.of("acks " + acks), "acks", acks, "enable.idempotence", "false");
        }
        expect(topic, 0, List.of("acks 0", "acks 1", "acks all"));
    }

    static void eachCodec() throws Exception {
        eachCodecTo(create("codec", 1));
    }

    static void eachCodecToEach() throws Exception {
        for (String wanted : List.of("uncompressed", "gzip", "snappy", "lz4", "zstd")) {
            eachCodecTo(create("to-" + wanted, 1, Map.of("compression.type", wanted)));
        }
    }

    static void eachCodecTo(String topic) throws Exception {
        var all = new ArrayList<String>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            var values = numbers(0, 200).stream().map(value -> codec + " " + value).toList();
            produce(topic, values, "compression.type", codec);
            all.addAll(values);
        }
        expect(topic, 0, all);
    }

    static void keysHeadersAndNulls() throws Exception {
        String topic = create("headers", 1);
        try (var producer = producer()) {
            var record = new ProducerRecord<>(topic, 0, 1_700_000_000_123L, "k", "v");
            record.headers().add("h", new byte[] {1}).add("h", new byte[] {2}).add("none", null);
            producer.send(record).get();
            producer.send(new ProducerRecord<>(topic, 0, "gone", null)).get();
        }
        var found = read(topic, 2, 0);
        var headers = found.get(0).headers().toArray();
        check(found.get(0).timestamp() == 1_700_000_000_123L && found.get(0).key().equals("k"), found);
        check(headers.length == 3 && headers[0].value()[0] == 1 && headers[1].value()[0] == 2 && headers[2].value() == null, found);
        check(found.get(1).key().equals("gone") && found.get(1).value() == null, found);
    }

    static void idempotentByDefault() throws Exception {
        String topic = create("idempotent", 1);
        try (var producer = producer("linger.ms", "5")) {
            var sent = send(producer, topic, numbers(0, 5000));
            producer.flush();
            for (int i = 0; i < sent.size(); i++) check(sent.get(i).get().offset() == i, sent.get(i).get());
        }
        expect(topic, 0, numbers(0, 5000));
    }

    static void fetchByOffset() throws Exception {
        String topic = create("by-offset", 1);
        produce(topic, numbers(0, 100));
        expect(topic, 57, List.of("57", "58", "59"));
        var place = new TopicPartition(topic, 0);
        try (var consumer = consumer("reader")) {
            check(consumer.beginningOffsets(List.of(place)).get(place) == 0, "beginning");
            check(consumer.endOffsets(List.of(place)).get(place) == 100, "end");
        }
    }

    static void fetchByTime() throws Exception {
        String topic = create("by-time", 1);
        try (var producer = producer()) {
            for (int second = 0; second < 10; second++) {
                producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_000L + second * 1000L, null, "" + second)).get();
            }
        }
        var place = new TopicPartition(topic, 0);
        try (var consumer = consumer("reader")) {
            var found = consumer.offsetsForTimes(Map.of(place, 1_700_000_004_500L)).get(place);
            check(found.offset() == 5 && found.timestamp() == 1_700_000_005_000L, found);
            check(consumer.offsetsForTimes(Map.of(place, 1_800_000_000_000L)).get(place) == null, "beyond the end");
        }
    }

    static void tailWithLongPoll() throws Exception {
        String topic = create("tail", 1);
        var place = new TopicPartition(topic, 0);
        try (var consumer = consumer("reader")) {
            consumer.assign(List.of(place));
            consumer.seek(place, 0);
            check(consumer.poll(Duration.ofMillis(300)).isEmpty(), "records of nobody");
            var later = CompletableFuture.delayedExecutor(300, TimeUnit.MILLISECONDS);
            var sent = CompletableFuture.supplyAsync(() -> {
                try {
                    produce(topic, List.of("at last"));
                    return true;
                } catch (Exception error) {
                    throw new CompletionException(error);
                }
            }, later);
            check(consumer.poll(Duration.ofSeconds(20)).count() == 1, "nothing came");
            sent.get();
        }
    }

    /** Batches of which the first record, one in the middle and the last are missing, the last one of them at the end of the log. */
    static void readPastMissing() throws Exception {
        String topic = create("holes", 1, Map.of("message.dedup.mode", "window"));
        var place = new TopicPartition(topic, 0);
        var found = new ArrayList<String>();
        try (var producer = producer("linger.ms", "200"); var consumer = consumer("reader")) {
            for (String batch : List.of("ab", "bcd", "eaf", "gba")) {
                sendWithIds(producer, topic, batch);
            }
            consumer.assign(List.of(place));
            consumer.seek(place, 0);
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (found.size() < 7 && System.nanoTime() < deadline) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> found.add(record.offset() + record.value()));
            }
            check(found.equals(List.of("0a", "1b", "3c", "4d", "5e", "7f", "8g")), found);
            double fetches = fetches(consumer);
            check(consumer.poll(Duration.ofSeconds(3)).isEmpty(), "more than there is");
            check(fetches(consumer) - fetches < 20, "it spins at the end");
            sendWithIds(producer, topic, "h");
            check(consumer.poll(Duration.ofSeconds(20)).count() == 1, "nothing came");
        }
    }

    /** One batch with a record for each letter, which is its id and its value. */
    static void sendWithIds(KafkaProducer<String, String> producer, String topic, String letters) throws Exception {
        var sent = new ArrayList<Future<RecordMetadata>>();
        for (String letter : letters.split("")) {
            var record = new ProducerRecord<String, String>(topic, 0, null, letter);
            record.headers().add("message-id", letter.getBytes());
            sent.add(producer.send(record));
        }
        producer.flush();
        for (var future : sent) future.get(30, TimeUnit.SECONDS);
    }

    static double fetches(KafkaConsumer<?, ?> consumer) {
        return consumer.metrics().entrySet().stream().filter(metric -> metric.getKey().name().equals("fetch-total"))
            .mapToDouble(metric -> (double) metric.getValue().metricValue()).sum();
    }

    static void commitAndReadOffsets() throws Exception {
        String topic = create("commit", 2), group = fresh("group");
        var first = new TopicPartition(topic, 0);
        var second = new TopicPartition(topic, 1);
        try (var consumer = consumer(group)) {
            consumer.assign(List.of(first, second));
            consumer.commitSync(Map.of(first, new OffsetAndMetadata(7, "half way"), second, new OffsetAndMetadata(9)));
        }
        try (var consumer = consumer(group)) {
            var found = consumer.committed(java.util.Set.of(first, second));
            check(found.get(first).offset() == 7 && found.get(first).metadata().equals("half way"), found);
            check(found.get(second).offset() == 9, found);
        }
    }

    static void describeClusterAndConfigs() throws Exception {
        String topic = create("configs", 1);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            check(admin.describeCluster().nodes().get().size() == 1, "nodes");
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            check(config.get("max.message.bytes").value().equals("1048588"), config);
        }
    }

    static void killAndRestartInBetween() throws Exception {
        String topic = create("restart", 1);
        try (var producer = producer("linger.ms", "5")) {
            var sent = new ArrayList<>(send(producer, topic, numbers(0, 500)));
            producer.flush();
            sent.addAll(send(producer, topic, numbers(500, 600)));
            Groups.broker("RESTART");
            sent.addAll(send(producer, topic, numbers(600, 1000)));
            producer.flush();
            for (int i = 0; i < sent.size(); i++) check(sent.get(i).get().offset() == i, sent.get(i).get());
        }
        expect(topic, 0, numbers(0, 1000));
    }
}
