import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Doubles the values of INPUT into OUTPUT, each message id once: result, id and offset are written in one transaction.
 *
 * <p>The ids stand in LEDGER, a compacted topic with as many partitions as INPUT, and outlive the offsets of the group.
 */
public class TransactionalLedger {
    static KafkaProducer<String, String> producer;
    /** By partition: what ids the ledger holds. */
    static final Map<Integer, Set<String>> done = new HashMap<>();

    /** The ledger of a partition, before its first record is looked at. Waits for a predecessor's open transaction to end. */
    static void load(Collection<TopicPartition> partitions) throws Exception {
        for (var place : partitions) {
            var ids = Recipe.toEnd(Recipe.LEDGER, place.partition()).stream().map(ConsumerRecord::key);
            done.put(place.partition(), ids.collect(Collectors.toCollection(HashSet::new)));
        }
        Recipe.step("ledger-loaded");
    }

    static void write(ConsumerRecord<String, String> record) {
        var id = Recipe.header(record, "message-id");
        if (!done.get(record.partition()).add(id)) return;
        var doubled = Long.toString(2 * Long.parseLong(record.value()));
        producer.send(new ProducerRecord<>(Recipe.OUTPUT, null, record.key(), doubled, record.headers()));
        // Not without a value: compaction would remove the id.
        producer.send(new ProducerRecord<>(Recipe.LEDGER, record.partition(), id, Recipe.OWNER));
    }

    public static void main(String[] args) throws Exception {
        Recipe.steps(args, "ledger-loaded", "received", "written", "offsets-sent", "committed");
        // Whoever comes back under its transactional id ends what it had begun. No exception is handled: each ends the program, and
        // with it a set that may hold ids of a transaction that was aborted.
        producer = new KafkaProducer<>(Map.of(
            "bootstrap.servers", Recipe.BOOTSTRAP,
            "transactional.id", Recipe.GROUP + "-" + Recipe.OWNER,
            // For so long an instance that is gone holds up those who read what it wrote, and its successor.
            "transaction.timeout.ms", (int) Recipe.number("TRANSACTION_TIMEOUT_MS", 10_000)),
            new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        var consumer = Recipe.member(Map.of(
            "enable.auto.commit", false,
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed"));
        consumer.subscribe(List.of(Recipe.INPUT), Recipe.onAssigned(TransactionalLedger::load));
        Recipe.forEachBatch(consumer, records -> {
            Recipe.step("received");
            producer.beginTransaction();
            records.forEach(TransactionalLedger::write);
            // The ids are in the ledger before the offsets are sent: a successor whose generation refuses the offsets of this one
            // waits for the end of what it sees there.
            producer.flush();
            Recipe.step("written");
            // Stops a zombie: refused if the group has gone on to another generation.
            producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
            Recipe.step("offsets-sent");
            producer.commitTransaction();
            Recipe.step("committed");
        });
        consumer.close();
    }
}
