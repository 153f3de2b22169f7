package example.tidegate;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Membership changes with nothing but Kafka's own client, each exactly once.
 *
 * <p>Two things make it exact. It reads committed records only. And it applies a change only if its version is greater
 * than the last one of the same contact and segment, so that nothing counts twice, whatever is repeated. A record
 * without a value is a tombstone: the contact or the segment is gone, and the exit before it said so. One more keeps it
 * going: a record that is no membership change, because somebody else wrote it, is said and passed by.
 *
 * <p>It reads from the beginning, where the newest change of every contact and segment is kept for ever, so after a
 * restart it knows all current members again. A consumer whose effects last keeps the versions beside them, in the same
 * transaction.
 */
public final class MembershipConsumer {
    private static final Duration POLL = Duration.ofMillis(200);

    private final KafkaConsumer<String, byte[]> consumer;
    private final ObjectMapper json = new ObjectMapper();
    private final Map<String, Change.Version> versions = new HashMap<>();

    MembershipConsumer(String bootstrap) {
        Properties settings = new Properties();
        settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer());
    }

    /** Gives every change to {@code handler}, in order per contact, until {@code wanted} have been given. */
    void follow(String topic, long wanted, Consumer<Change> handler) {
        List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(partition -> new TopicPartition(topic, partition.partition()))
                .toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        long given = 0;
        while (given < wanted) {
            for (ConsumerRecord<String, byte[]> record : consumer.poll(POLL)) {
                Change change = newer(record);
                if (change != null && given < wanted) {
                    handler.accept(change);
                    given++;
                }
            }
        }
    }

    /** The change in a record, unless it is a tombstone, not newer than what is known, or no change at all. */
    private Change newer(ConsumerRecord<String, byte[]> record) {
        if (record.value() == null) {
            versions.remove(record.key());
            return null;
        }
        Change change;
        try {
            change = Change.of(json.readTree(record.value()));
        } catch (IOException | IllegalArgumentException none) {
            System.err.printf(
                    "%s, partition %d, offset %d: no membership change%n",
                    record.topic(), record.partition(), record.offset());
            return null;
        }
        Change.Version known = versions.get(record.key());
        if (known != null && change.version().compareTo(known) <= 0) {
            return null;
        }
        versions.put(record.key(), change.version());
        return change;
    }

    private static void print(Change change) {
        System.out.printf(
                "%s %s %s %s%s%n",
                change.entered() ? "enter" : "exit",
                change.segmentId(),
                change.contactId(),
                change.cause(),
                change.completesItsCause() ? "" : " ...");
    }

    /** Arguments: bootstrap address, topic, and optionally how many changes to print before it ends. */
    public static void main(String[] arguments) {
        if (arguments.length < 2) {
            System.err.println("usage: MembershipConsumer BOOTSTRAP TOPIC [CHANGES]");
            System.exit(2);
        }
        MembershipConsumer example = new MembershipConsumer(arguments[0]);
        long wanted = arguments.length > 2 ? Long.parseLong(arguments[2]) : Long.MAX_VALUE;
        try {
            example.follow(arguments[1], wanted, MembershipConsumer::print);
        } finally {
            example.consumer.close();
        }
    }
}
