import java.io.PrintWriter;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * BOOTSTRAP TOPIC GROUP NAME HISTORY: a member of a group that processes and commits until its stdin ends.
 * GROUP_PROTOCOL=consumer has it speak the protocol of KIP-848.
 */
public class GroupMember implements ConsumerRebalanceListener {
    final String name;
    final PrintWriter history;
    final KafkaConsumer<String, String> client;
    final Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();

    GroupMember(String bootstrap, String group, String name, String history) throws Exception {
        this.name = name;
        this.history = new PrintWriter(history);
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("group.id", group);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        String protocol = System.getenv().getOrDefault("GROUP_PROTOCOL", "classic");
        properties.put("group.protocol", protocol);
        if (protocol.equals("classic")) { // To a member of KIP-848 the broker says these.
            properties.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
            properties.put("session.timeout.ms", "6000");
            properties.put("heartbeat.interval.ms", "500");
        }
        properties.put("max.poll.interval.ms", "10000");
        properties.put("default.api.timeout.ms", "5000");
        properties.put("request.timeout.ms", "4000");
        properties.put("reconnect.backoff.max.ms", "500");
        client = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    /** `System.nanoTime` is CLOCK_MONOTONIC on Linux. Payloads and names have no character that JSON escapes. */
    void note(String op, TopicPartition place, String more) {
        history.println("{\"op\":\"" + op + "\",\"member\":\"" + name + "\",\"partition\":" + place.partition() + ",\"at\":" + System.nanoTime() + more + "}");
        history.flush();
    }

    public void onPartitionsAssigned(Collection<TopicPartition> places) {
        places.forEach(place -> note("assigned", place, ""));
    }

    public void onPartitionsRevoked(Collection<TopicPartition> places) {
        commit();
        onPartitionsLost(places);
    }

    public void onPartitionsLost(Collection<TopicPartition> places) {
        places.forEach(done::remove);
        places.forEach(place -> note("revoked", place, ""));
    }

    /** What is processed and not committed; an outcome that is not known stays open. */
    void commit() {
        if (done.isEmpty()) return;
        done.forEach((place, offset) -> note("committing", place, ",\"offset\":" + offset.offset()));
        try {
            client.commitSync(done);
        } catch (KafkaException error) {
            System.err.println(name + " " + error);
            return;
        }
        done.forEach((place, offset) -> note("committed", place, ",\"offset\":" + offset.offset()));
        done.clear();
    }

    public static void main(String[] args) throws Exception {
        var member = new GroupMember(args[0], args[2], args[3], args[4]);
        var ended = new AtomicBoolean();
        var waiting = new Thread(() -> {
            try {
                System.in.readAllBytes();
            } catch (java.io.IOException error) {
                System.err.println(error);
            }
            ended.set(true);
        });
        waiting.setDaemon(true);
        waiting.start();
        member.client.subscribe(List.of(args[1]), member);
        while (!ended.get()) {
            for (var record : member.client.poll(Duration.ofMillis(200))) {
                member.note("processed", new TopicPartition(record.topic(), record.partition()), ",\"offset\":" + record.offset() + ",\"payload\":\"" + record.value() + "\"");
                member.done.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
            }
            member.commit();
        }
        member.client.close();
        member.history.close();
    }
}
