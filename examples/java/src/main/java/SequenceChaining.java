import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Doubles the values of INPUT into OUTPUT, each record once: a result carries the number of its source.
 *
 * <p>OUTPUT has message.dedup.mode=sequence and as many partitions as INPUT. Result and resume point are one write, without a
 * transaction.
 */
public class SequenceChaining {
    static KafkaConsumer<String, String> consumer;
    static KafkaProducer<String, String> producer;
    /** By partition: the name under which its results are counted. */
    static final Map<Integer, String> names = new HashMap<>();

    /** Reads on behind the source of the newest result. What is committed in Kafka is for tools that show the lag of the group. */
    static void resume(Collection<TopicPartition> partitions) throws Exception {
        // The source's id, not its name: one that was created anew counts from 1 again.
        String inputId = Recipe.topicId(Recipe.INPUT), outputId = Recipe.topicId(Recipe.OUTPUT);
        var reached = new HashMap<String, String>();
        for (var record : Recipe.toEnd("__einmal_sequences", 0)) {
            if (record.value() != null) reached.put(record.key(), record.value());
        }
        for (var place : partitions) {
            var name = inputId + "/" + place.partition();
            names.put(place.partition(), name);
            // The number of a result is the offset of its source and 1, and so the offset of the next.
            var next = reached.get(Recipe.OUTPUT + "/" + outputId + "/" + place.partition() + "/" + name);
            if (next == null) consumer.seekToBeginning(List.of(place));
            else consumer.seek(place, Long.parseLong(next));
        }
        Recipe.step("resumed");
    }

    static void hand(ConsumerRecord<String, String> record) throws Exception {
        var doubled = Long.toString(2 * Long.parseLong(record.value()));
        var result = new ProducerRecord<>(Recipe.OUTPUT, record.partition(), record.key(), doubled);
        // Stops a zombie: what its successor has sent is not above the number of this name, and is not stored again.
        result.headers().add("producer-name", names.get(record.partition()).getBytes());
        result.headers().add("producer-sequence", Long.toString(record.offset() + 1).getBytes());
        producer.send(result, (metadata, error) -> {
            // Nothing may follow a result that was not stored: its number would be passed, and it could not be sent again.
            if (error != null) {
                System.err.println(error);
                Runtime.getRuntime().halt(1);
            }
        });
        Recipe.step("handed-over");
    }

    public static void main(String[] args) throws Exception {
        Recipe.steps(args, "resumed", "received", "handed-over", "stored");
        // In order, whatever is sent again, and for as long as it takes.
        producer = new KafkaProducer<>(Map.of(
            "bootstrap.servers", Recipe.BOOTSTRAP,
            "enable.idempotence", true,
            // Behind a batch that is to come again no other may be stored, whatever the broker remembers of this producer.
            "max.in.flight.requests.per.connection", 1,
            "delivery.timeout.ms", Integer.MAX_VALUE), new StringSerializer(), new StringSerializer());
        // Where the number points to what is no longer there, records are missing: stop, and skip nothing in silence.
        consumer = Recipe.member(Map.of("auto.offset.reset", "none", "isolation.level", "read_committed"));
        consumer.subscribe(List.of(Recipe.INPUT), Recipe.onAssigned(SequenceChaining::resume));
        Recipe.forEachBatch(consumer, records -> {
            Recipe.step("received");
            for (var record : records) hand(record);
            producer.flush();
            Recipe.step("stored");
        });
        consumer.close();
    }
}
