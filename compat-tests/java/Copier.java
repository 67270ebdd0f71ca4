import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.zip.CRC32;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * BOOTSTRAP INPUT OUTPUT GROUP TRANSACTIONAL_ID INSTANCE HISTORY: consumes, transforms and produces in transactions, some of them
 * aborted, until its stdin ends; as Kafka's TransactionalMessageCopier does.
 */
public class Copier {
    final String source, target, id;
    final int instance;
    final PrintWriter history;
    final KafkaConsumer<String, String> consumer;
    final KafkaProducer<String, String> producer;
    final Random chance;
    int count;
    String txn;

    Copier(String bootstrap, String source, String target, String group, String id, String instance, String path) throws Exception {
        this.source = source;
        this.target = target;
        this.id = id;
        this.instance = Integer.parseInt(instance);
        history = new PrintWriter(path);
        chance = new Random((id + instance).hashCode());
        Properties shared = new Properties();
        shared.put("bootstrap.servers", bootstrap);
        shared.put("reconnect.backoff.max.ms", "500");
        shared.put("request.timeout.ms", "4000");
        Properties reading = new Properties();
        reading.putAll(shared);
        reading.put("group.id", group);
        reading.put("enable.auto.commit", "false");
        reading.put("auto.offset.reset", "earliest");
        reading.put("isolation.level", "read_committed");
        reading.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
        reading.put("session.timeout.ms", "6000");
        reading.put("heartbeat.interval.ms", "500");
        reading.put("max.poll.records", "200");
        Properties writing = new Properties();
        writing.putAll(shared);
        writing.put("transactional.id", id);
        writing.put("transaction.timeout.ms", "10000");
        writing.put("linger.ms", "2");
        consumer = new KafkaConsumer<>(reading, new StringDeserializer(), new StringDeserializer());
        producer = new KafkaProducer<>(writing, new StringSerializer(), new StringSerializer());
    }

    /** `System.nanoTime` is CLOCK_MONOTONIC on Linux. Payloads and names have no character that JSON escapes. */
    synchronized void note(String op, String more) {
        history.println("{\"op\":\"" + op + "\"," + more + "}");
        history.flush();
    }

    String named() {
        return "\"txn\":\"" + txn + "\"";
    }

    String at() {
        return ",\"at\":" + System.nanoTime();
    }

    /** Returns once the call has gone through; it is called again as long as the client only ran out of time. */
    void untilDone(Runnable call) {
        while (true) {
            try {
                call.run();
                return;
            } catch (TimeoutException error) {
                System.err.println(id + " again: " + error);
            }
        }
    }

    void transaction(ConsumerRecords<String, String> records) {
        producer.beginTransaction();
        txn = id + "." + instance + "." + ++count;
        note("begin", "\"id\":\"" + id + "\",\"instance\":" + instance + "," + named() + at());
        boolean commits = chance.nextInt(5) > 0;
        try {
            copy(records);
            if (commits) {
                note("ending", named() + ",\"commit\":true" + at());
                untilDone(producer::commitTransaction);
                note("ended", named() + ",\"commit\":true" + at());
                return;
            }
        } catch (ProducerFencedException error) {
            // Nobody else has this id: the newest instance is never fenced.
            throw error;
        } catch (KafkaException error) {
            System.err.println(txn + " is aborted: " + error);
        }
        note("ending", named() + ",\"commit\":false" + at());
        untilDone(producer::abortTransaction);
        note("ended", named() + ",\"commit\":false" + at());
        goBack();
    }

    void copy(ConsumerRecords<String, String> records) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (var record : records) {
            note("consumed", named() + ",\"partition\":" + record.partition() + ",\"offset\":" + record.offset() + ",\"payload\":\"" + record.value() + "\"");
            String[] parts = record.value().split("/", 3);
            String body = parts[0] + "/" + parts[1] + "/" + txn;
            var crc = new CRC32();
            crc.update(body.getBytes(StandardCharsets.US_ASCII));
            String value = body + "/" + String.format("%08x", crc.getValue());
            String sent = named() + ",\"producer\":\"" + parts[0] + "\",\"seq\":" + parts[1] + ",\"partition\":" + record.partition();
            note("send", sent);
            producer.send(new ProducerRecord<>(target, record.partition(), null, value), (metadata, error) -> {
                if (error == null) note("sent", sent + ",\"offset\":" + metadata.offset());
            });
            offsets.put(new TopicPartition(source, record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        untilDone(() -> producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata()));
        offsets.forEach((place, offset) -> note("staged", named() + ",\"partition\":" + place.partition() + ",\"offset\":" + offset.offset()));
    }

    /** To what is committed, or to the start where nothing is. */
    void goBack() {
        while (true) {
            try {
                var committed = consumer.committed(consumer.assignment());
                committed.forEach((place, offset) -> consumer.seek(place, offset == null ? 0 : offset.offset()));
                return;
            } catch (TimeoutException error) {
                System.err.println(id + " going back: " + error);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        var copier = new Copier(args[0], args[1], args[2], args[3], args[4], args[5], args[6]);
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
        copier.untilDone(copier.producer::initTransactions);
        copier.note("initialized", "\"id\":\"" + copier.id + "\",\"instance\":" + copier.instance + copier.at());
        copier.consumer.subscribe(List.of(copier.source));
        while (!ended.get()) {
            var records = copier.consumer.poll(Duration.ofMillis(200));
            if (!records.isEmpty()) copier.transaction(records);
        }
        copier.producer.close();
        copier.consumer.close();
        copier.history.close();
    }
}
