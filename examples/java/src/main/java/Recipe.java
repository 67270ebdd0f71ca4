import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** What the recipes share and a program of yours has in its own way: settings, steps at which their test kills them, and an end. */
final class Recipe {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final String GROUP = System.getenv("GROUP");
    static final String INPUT = System.getenv("INPUT");
    static final String OUTPUT = System.getenv("OUTPUT");
    static final String LEDGER = System.getenv("LEDGER");
    static final String DATABASE_URL = System.getenv("DATABASE_URL");
    static final String OWNER = System.getenv("OWNER");

    private static List<String> names;
    private static long passingsLeft = number("KILL_AFTER", 1);

    static long number(String variable, long otherwise) {
        var given = System.getenv(variable);
        return given == null ? otherwise : Long.parseLong(given);
    }

    /** The places between two effects on the world outside. `--steps` prints them. */
    static void steps(String[] args, String... names) {
        Recipe.names = List.of(names);
        if (List.of(args).equals(List.of("--steps"))) {
            Recipe.names.forEach(System.out::println);
            System.exit(0);
        }
    }

    /** At that of KILL_AT the program kills itself, at its KILL_AFTER-th passing; with KILL_SIGNAL=STOP it only stops. */
    static void step(String name) throws Exception {
        if (!names.contains(name)) throw new IllegalArgumentException("no step of this recipe: " + name);
        if (!name.equals(System.getenv("KILL_AT")) || --passingsLeft != 0) return;
        var signal = System.getenv().getOrDefault("KILL_SIGNAL", "KILL");
        // It returns when the program stands: a signal reaches the first thread of a JVM first, which is not this one.
        var kill = "kill -$0 $1; while grep -qs '^State:.[^TZ]' /proc/$1/status; do sleep 0.01; done";
        new ProcessBuilder("sh", "-c", kill, signal, Long.toString(ProcessHandle.current().pid())).start().waitFor();
    }

    /** A consumer that is the member OWNER of GROUP. */
    static KafkaConsumer<String, String> member(Map<String, Object> more) {
        var config = new HashMap<String, Object>(more);
        long sessionMs = number("SESSION_TIMEOUT_MS", 45_000);
        config.put("bootstrap.servers", BOOTSTRAP);
        config.put("group.id", GROUP);
        // Who comes back under this name is given its partitions at once.
        config.put("group.instance.id", OWNER);
        config.put("session.timeout.ms", (int) sessionMs);
        config.put("heartbeat.interval.ms", (int) (sessionMs / 3));
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    interface Assigned {
        void to(Collection<TopicPartition> partitions) throws Exception;
    }

    static ConsumerRebalanceListener onAssigned(Assigned assigned) {
        return new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                try {
                    assigned.to(partitions);
                } catch (Exception error) {
                    throw new IllegalStateException(error);
                }
            }

            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}
        };
    }

    interface Work {
        void on(ConsumerRecords<String, String> records) throws Exception;
    }

    /**
     * What comes, in batches. Returns when the consumer has partitions and nothing came for IDLE_EXIT_MS.
     *
     * <p>Not at the end of a partition: behind its last record there may be holes, and whoever reads on there never passes them.
     */
    static void forEachBatch(KafkaConsumer<String, String> consumer, Work work) throws Exception {
        long idleMs = number("IDLE_EXIT_MS", Long.MAX_VALUE), busy = System.nanoTime();
        Set<TopicPartition> assigned = Set.of();
        while ((System.nanoTime() - busy) / 1_000_000 < idleMs) {
            var records = consumer.poll(Duration.ofMillis(50));
            if (!records.isEmpty()) work.on(records);
            var before = assigned;
            assigned = Set.copyOf(consumer.assignment());
            if (!records.isEmpty() || assigned.isEmpty() || !assigned.equals(before)) busy = System.nanoTime();
        }
    }

    /** What is committed in a partition, up to the end that it has now. Waits for the transactions that are open there. */
    static List<ConsumerRecord<String, String>> toEnd(String topic, int partition) throws Exception {
        var here = new TopicPartition(topic, partition);
        var found = new ArrayList<ConsumerRecord<String, String>>();
        Map<String, Object> config =
            Map.of("bootstrap.servers", BOOTSTRAP, "isolation.level", "read_committed", "enable.auto.commit", false);
        try (var admin = admin(); var reader = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            // The end of all that is written, not of what is committed: a transaction before it may be open, and others after it
            // committed.
            long end = admin.listOffsets(Map.of(here, OffsetSpec.latest())).partitionResult(here).get().offset();
            reader.assign(List.of(here));
            reader.seekToBeginning(List.of(here));
            while (reader.position(here) < end) reader.poll(Duration.ofSeconds(1)).forEach(found::add);
        } catch (ExecutionException error) {
            // What is not there yet holds nothing.
            if (!(error.getCause() instanceof UnknownTopicOrPartitionException)) throw error;
        }
        return found;
    }

    /** A topic that is deleted and created anew has another id, and other records at the same offsets. */
    static String topicId(String topic) throws Exception {
        try (var admin = admin()) {
            return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId().toString();
        }
    }

    private static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", BOOTSTRAP));
    }

    /** The last header of that name, as text. */
    static String header(ConsumerRecord<String, String> record, String name) {
        return new String(record.headers().lastHeader(name).value(), StandardCharsets.UTF_8);
    }

    /** To sqlite:PATH or postgresql://USER@HOST:PORT/NAME. Each statement is a transaction of its own until setAutoCommit. */
    static Connection connect() throws SQLException {
        var config = new Properties();
        if (DATABASE_URL.startsWith("sqlite:")) {
            // Transactions take the lock for writing as they begin, and wait for it.
            config.put("transaction_mode", "IMMEDIATE");
            config.put("busy_timeout", "30000");
            return DriverManager.getConnection("jdbc:" + DATABASE_URL, config);
        }
        var parts = Pattern.compile("postgresql://(\\w+)@(.+)").matcher(DATABASE_URL);
        if (!parts.matches()) throw new IllegalArgumentException(DATABASE_URL);
        config.put("user", parts.group(1));
        return DriverManager.getConnection("jdbc:postgresql://" + parts.group(2), config);
    }

    static PreparedStatement statement(Connection database, String sql, Object... values) throws SQLException {
        var statement = database.prepareStatement(sql);
        for (int at = 0; at < values.length; at++) statement.setObject(at + 1, values[at]);
        return statement;
    }

    /** How many rows it changed. */
    static int update(Connection database, String sql, Object... values) throws SQLException {
        try (var statement = statement(database, sql, values)) {
            return statement.executeUpdate();
        }
    }

    /** The number in the first column of the first row, or null without one. */
    static Long query(Connection database, String sql, Object... values) throws SQLException {
        try (var statement = statement(database, sql, values); var rows = statement.executeQuery()) {
            return rows.next() ? rows.getLong(1) : null;
        }
    }
}
