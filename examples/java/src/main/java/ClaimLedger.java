import java.sql.Connection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Does each job of INPUT once, whoever else is given it too: who may do it, LEDGER says.
 *
 * <p>The effect lies where no transaction reaches, and can be asked whether it has happened; here it is the table `done`.
 */
public class ClaimLedger {
    /** Longer than the effect takes and a program that was killed needs to come back. Within it nobody takes a claim over. */
    static final long LEASE_MS = Recipe.number("LEASE_MS", 60_000);

    static Connection database;
    static KafkaProducer<String, String> producer;

    static String key(String job) {
        return Recipe.GROUP + "/" + job;
    }

    /** Whether the claim is ours. Who sends its own again gets the same answer. */
    static boolean claim(String job, String fromOwner) throws Exception {
        var claim = new ProducerRecord<>(Recipe.LEDGER, key(job), Recipe.OWNER);
        claim.headers().add("claim-expires", Long.toString(LEASE_MS).getBytes());
        if (fromOwner != null) claim.headers().add("claim-takes-over", fromOwner.getBytes());
        try {
            producer.send(claim).get();
            return true;
        } catch (ExecutionException error) {
            if (!(error.getCause() instanceof InvalidRecordException)) throw error;
            return false;
        }
    }

    /** Whose claim was accepted last. */
    static String ownerOf(String job) throws Exception {
        String owner = null;
        for (var partition : producer.partitionsFor(Recipe.LEDGER)) {
            for (var claim : Recipe.toEnd(Recipe.LEDGER, partition.partition())) {
                if (claim.key().equals(key(job))) owner = claim.value();
            }
        }
        return owner;
    }

    /** Waits until the claim is ours, or the job is done. An owner that died has it until its lease is over. */
    static boolean isOurs(String job) throws Exception {
        String fromOwner = null;
        while (!claim(job, fromOwner)) {
            Recipe.step("refused");
            if (isDone(job)) return false;
            fromOwner = ownerOf(job);
            Thread.sleep(Math.min(1000, LEASE_MS / 10));
        }
        return true;
    }

    static boolean isDone(String job) throws Exception {
        return Recipe.query(database, "SELECT count(*) FROM done WHERE job = ?", job) > 0;
    }

    public static void main(String[] args) throws Exception {
        Recipe.steps(args, "received", "refused", "claimed", "looked", "acted", "committed");
        database = Recipe.connect();
        // A refused claim takes its neighbours along: each travels alone.
        producer = new KafkaProducer<>(Map.of(
            "bootstrap.servers", Recipe.BOOTSTRAP,
            "batch.size", 0,
            "linger.ms", 0,
            "acks", "all",
            "enable.idempotence", false), new StringSerializer(), new StringSerializer());
        var consumer = Recipe.member(Map.of("enable.auto.commit", false, "auto.offset.reset", "earliest"));
        consumer.subscribe(List.of(Recipe.INPUT));
        Recipe.forEachBatch(consumer, records -> {
            for (var record : records) {
                var job = Recipe.header(record, "message-id");
                Recipe.step("received");
                if (isOurs(job)) {
                    Recipe.step("claimed");
                    // It may be an earlier claim, of ours or of one who died, and done since. No one else acts between this look
                    // and the effect.
                    if (!isDone(job)) {
                        Recipe.step("looked");
                        Recipe.update(database, "INSERT INTO done (job, owner) VALUES (?, ?)", job, Recipe.OWNER);
                        Recipe.step("acted");
                    }
                }
                var place = new TopicPartition(record.topic(), record.partition());
                consumer.commitSync(Map.of(place, new OffsetAndMetadata(record.offset() + 1)));
                Recipe.step("committed");
            }
        });
        consumer.close();
    }
}
