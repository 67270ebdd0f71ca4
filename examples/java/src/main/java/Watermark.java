import java.sql.Connection;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * Books what INPUT says (key: account, value: cents) in a database, each record once.
 *
 * <p>How far each partition has been booked stands in the same database, and moves in the same transaction as the balance.
 */
public class Watermark {
    // The condition stops a zombie. An instance that has lost the partition and does not know it yet comes with an offset that its
    // successor has booked: it changes no row. While both are in a transaction, the second waits here for the first.
    static final String MOVE = """
        INSERT INTO watermarks (topic_id, partition, last_offset) VALUES (?, ?, ?)
        ON CONFLICT (topic_id, partition) DO UPDATE SET last_offset = excluded.last_offset
        WHERE watermarks.last_offset < excluded.last_offset
        """;
    static final String LAST = "SELECT last_offset FROM watermarks WHERE topic_id = ? AND partition = ?";
    static final String BOOK = """
        INSERT INTO balances (account, cents) VALUES (?, ?)
        ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents
        """;

    static Connection database;
    static KafkaConsumer<String, String> consumer;
    /** By partition: the id of the topic that is read. */
    static final Map<Integer, String> topics = new HashMap<>();

    /** Reads on where the database says. What is committed in Kafka is for tools that show how far behind the group is. */
    static void resume(Collection<TopicPartition> partitions) throws Exception {
        // By id, not by name: a topic that was created anew begins at offset 0 again.
        var topicId = Recipe.topicId(Recipe.INPUT);
        for (var place : partitions) {
            topics.put(place.partition(), topicId);
            var last = Recipe.query(database, LAST, topicId, place.partition());
            if (last == null) consumer.seekToBeginning(List.of(place));
            else consumer.seek(place, last + 1);
        }
    }

    static void book(ConsumerRecord<String, String> record) throws Exception {
        var topicId = topics.get(record.partition());
        // Begins a transaction. PostgreSQL: at READ COMMITTED, its default, so that the condition sees what it waited for.
        database.setAutoCommit(false);
        if (Recipe.update(database, MOVE, topicId, record.partition(), record.offset()) == 1) {
            Recipe.step("watermark-moved");
            Recipe.update(database, BOOK, record.key(), Long.parseLong(record.value()));
            Recipe.step("effect-written");
        }
        // Commits it. SQLite's driver would begin the next one within commit(), and keep others from writing until that ends.
        database.setAutoCommit(true);
    }

    public static void main(String[] args) throws Exception {
        Recipe.steps(args, "received", "watermark-moved", "effect-written", "committed");
        database = Recipe.connect();
        // Where the database points to what is no longer there, or not yet, records are missing: stop, and skip nothing in silence.
        consumer = Recipe.member(Map.of("auto.offset.reset", "none", "isolation.level", "read_committed"));
        consumer.subscribe(List.of(Recipe.INPUT), Recipe.onAssigned(Watermark::resume));
        Recipe.forEachBatch(consumer, records -> {
            for (var record : records) {
                Recipe.step("received");
                book(record);
                Recipe.step("committed");
            }
        });
        consumer.close();
    }
}
