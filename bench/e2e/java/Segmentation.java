import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.function.Predicate;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Segmentation as one would write it on Kafka Streams: a processor with a store of contacts, every segment's closure
 * evaluated at every write, each transaction exactly once. Takes a plan in JSON; prints one line of JSON at the end.
 *
 * <p>It knows the tests that the benchmark's segments use, and fails at any other.
 */
public final class Segmentation {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String STORE = "contacts";
    private static final long CACHE_BYTES = 256L << 20;
    private static final long DAY_MS = 86_400_000L;

    private final JsonNode plan;
    private final CountDownLatch ended = new CountDownLatch(1);
    private final String typeHeader;
    private final String defined;
    private final long warm;
    private final long total;
    private long done;
    private long beganNs;
    private long tookNs;

    private Segmentation(JsonNode plan) {
        this.plan = plan;
        this.typeHeader = text("type_header");
        this.defined = text("defined");
        this.warm = plan.get("warm").asLong();
        this.total = plan.get("total").asLong();
    }

    public static void main(String[] arguments) throws Exception {
        new Segmentation(JSON.readTree(arguments[0])).run();
    }

    private void run() throws InterruptedException {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, text("output") + "-app");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, text("broker"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, text("directory"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        try (KafkaStreams streams = new KafkaStreams(topology(), settings)) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                ended.countDown();
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            ended.await();
        }
        if (tookNs == 0) {
            System.exit(1);
        }
        System.out.println("{\"rate_per_s\": " + (total - warm) / (tookNs / 1e9) + "}");
    }

    private String text(String name) {
        return plan.get(name).asText();
    }

    private Topology topology() {
        var bytes = Serdes.ByteArray();
        StreamPartitioner<byte[], byte[]> besideTheContact = (topic, key, value, partitions) -> {
            int bar = 0;
            while (key[bar] != '|') {
                bar++;
            }
            byte[] contact = Arrays.copyOfRange(key, bar + 1, key.length);
            return Optional.of(Set.of(Utils.toPositive(Utils.murmur2(contact)) % partitions));
        };
        return new Topology()
                .addSource("changes", bytes.deserializer(), bytes.deserializer(), text("input"))
                .addProcessor("evaluate", Evaluation::new, "changes")
                .addStateStore(
                        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), bytes)
                                .withCachingEnabled(),
                        "evaluate")
                .addSink(
                        "memberships",
                        text("output"),
                        bytes.serializer(),
                        bytes.serializer(),
                        besideTheContact,
                        "evaluate");
    }

    /** Count a record; one thread processes all partitions. */
    private void processed() {
        done++;
        if (done == warm) {
            beganNs = System.nanoTime();
        } else if (done == total) {
            tookNs = System.nanoTime() - beganNs;
            ended.countDown();
        }
    }

    /** One partition's segments and contacts. */
    private final class Evaluation implements Processor<byte[], byte[], byte[], byte[]> {
        private final Map<String, Condition> segments = new HashMap<>();
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<String, byte[]> contacts;

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            contacts = given.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                Header type = record.headers().lastHeader(typeHeader);
                if (type != null && defined.equals(new String(type.value(), StandardCharsets.UTF_8))) {
                    JsonNode definition = JSON.readTree(record.value());
                    segments.put(definition.get("segment_id").asText(), Conditions.of(definition.get("where")));
                } else {
                    write(record);
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            processed();
        }

        private void write(Record<byte[], byte[]> record) throws IOException {
            String id = new String(record.key(), StandardCharsets.UTF_8);
            byte[] row = contacts.get(id);
            Contact contact = row == null ? new Contact() : JSON.readValue(row, Contact.class);
            for (Map.Entry<String, Object> change : JSON.readValue(record.value(), Change.class).attributes.entrySet()) {
                if (change.getValue() == null) {
                    contact.attributes.remove(change.getKey());
                } else {
                    contact.attributes.put(change.getKey(), change.getValue());
                }
            }
            for (Map.Entry<String, Condition> segment : segments.entrySet()) {
                boolean holds = segment.getValue().holds(contact.attributes, record.timestamp());
                String segmentId = segment.getKey();
                if (holds ? contact.members.add(segmentId) : contact.members.remove(segmentId)) {
                    byte[] key = (segmentId + "|" + id).getBytes(StandardCharsets.UTF_8);
                    byte[] value = JSON.writeValueAsBytes(new MembershipChange(segmentId, holds));
                    context.forward(new Record<>(key, value, record.timestamp()));
                }
            }
            contacts.put(id, JSON.writeValueAsBytes(contact));
        }
    }

    /** A contact as it is stored. */
    public static final class Contact {
        public Map<String, Object> attributes = new HashMap<>();
        public Set<String> members = new HashSet<>();
    }

    /** What a write says. */
    public static final class Change {
        public Map<String, Object> attributes;
    }

    /** What is published. */
    public record MembershipChange(String segment_id, boolean member) {}

    /** A segment's expression, or a part of it. */
    private interface Condition {
        boolean holds(Map<String, Object> attributes, long now);
    }

    /** Conditions from their JSON form. */
    private static final class Conditions {
        static Condition of(JsonNode where) {
            List<Condition> parts = new ArrayList<>();
            for (Iterator<Map.Entry<String, JsonNode>> fields = where.fields(); fields.hasNext(); ) {
                Map.Entry<String, JsonNode> field = fields.next();
                parts.add(
                        switch (field.getKey()) {
                            case "all" -> all(each(field.getValue()));
                            case "any" -> any(each(field.getValue()));
                            case "not" -> not(of(field.getValue()));
                            default -> test(field.getKey(), field.getValue());
                        });
            }
            return all(parts.toArray(Condition[]::new));
        }

        private static Condition[] each(JsonNode list) {
            List<Condition> parts = new ArrayList<>();
            list.forEach(part -> parts.add(of(part)));
            return parts.toArray(Condition[]::new);
        }

        private static Condition all(Condition... parts) {
            if (parts.length == 1) {
                return parts[0];
            }
            return (attributes, now) -> {
                for (Condition part : parts) {
                    if (!part.holds(attributes, now)) {
                        return false;
                    }
                }
                return true;
            };
        }

        private static Condition any(Condition... parts) {
            return (attributes, now) -> {
                for (Condition part : parts) {
                    if (part.holds(attributes, now)) {
                        return true;
                    }
                }
                return false;
            };
        }

        private static Condition not(Condition part) {
            return (attributes, now) -> !part.holds(attributes, now);
        }

        private static Condition test(String attribute, JsonNode test) {
            if (test.isArray()) {
                return valued(attribute, false, null, oneOf(test));
            }
            if (!test.isObject()) {
                return valued(attribute, false, null, is(test));
            }
            String missing = test.has("missing") ? test.get("missing").asText() : null;
            List<Condition> parts = new ArrayList<>();
            for (Iterator<Map.Entry<String, JsonNode>> fields = test.fields(); fields.hasNext(); ) {
                Map.Entry<String, JsonNode> field = fields.next();
                if (!field.getKey().equals("missing")) {
                    parts.add(one(attribute, missing, field.getKey(), field.getValue()));
                }
            }
            return all(parts.toArray(Condition[]::new));
        }

        private static Condition one(String attribute, String missing, String test, JsonNode operand) {
            return switch (test) {
                case "is" -> valued(attribute, false, missing, is(operand));
                case "is_not" -> valued(attribute, true, missing, is(operand));
                case "in" -> valued(attribute, false, missing, oneOf(operand));
                case "not_in" -> valued(attribute, true, missing, oneOf(operand));
                case "any_of" -> valued(attribute, false, missing, hasAny(operand));
                case "none_of" -> valued(attribute, true, missing, hasAny(operand));
                case "contains" -> valued(attribute, false, missing, contains(operand.asText()));
                case "not_contains" -> valued(attribute, true, missing, contains(operand.asText()));
                case "gte" -> number(attribute, missing, operand.asDouble(), Double.POSITIVE_INFINITY, true);
                case "lt" -> number(attribute, missing, Double.NEGATIVE_INFINITY, operand.asDouble(), false);
                case "between" -> number(
                        attribute, missing, operand.get(0).asDouble(), operand.get(1).asDouble(), true);
                case "set" -> operand.asBoolean()
                        ? (attributes, now) -> attributes.containsKey(attribute)
                        : (attributes, now) -> !attributes.containsKey(attribute);
                case "within_last" -> age(attribute, missing, 0, days(operand) - 1);
                case "more_than_ago" -> age(attribute, missing, days(operand), Long.MAX_VALUE);
                case "within_next" -> age(attribute, missing, -days(operand), -1);
                default -> throw new IllegalArgumentException("this benchmark's segments have no test " + test);
            };
        }

        private static Condition valued(String attribute, boolean negated, String missing, Predicate<Object> test) {
            boolean ifMissing = missing == null ? negated : missing.equals("include");
            return (attributes, now) -> {
                Object value = attributes.get(attribute);
                return value == null ? ifMissing : test.test(value) != negated;
            };
        }

        private static Condition number(String attribute, String missing, double low, double high, boolean closed) {
            return valued(attribute, false, missing, value -> {
                double found = ((Number) value).doubleValue();
                return found >= low && (closed ? found <= high : found < high);
            });
        }

        /** Ages in milliseconds, both ends included. */
        private static Condition age(String attribute, String missing, long least, long most) {
            boolean ifMissing = missing != null && missing.equals("include");
            return (attributes, now) -> {
                Object value = attributes.get(attribute);
                if (value == null) {
                    return ifMissing;
                }
                long age = now - ((Number) value).longValue();
                return age >= least && age <= most;
            };
        }

        private static Predicate<Object> is(JsonNode operand) {
            Object wanted = scalar(operand);
            return wanted::equals;
        }

        private static Predicate<Object> oneOf(JsonNode operands) {
            Set<Object> wanted = scalars(operands);
            return wanted::contains;
        }

        private static Predicate<Object> hasAny(JsonNode operands) {
            Set<Object> wanted = scalars(operands);
            return value -> {
                for (Object element : (List<?>) value) {
                    if (wanted.contains(element)) {
                        return true;
                    }
                }
                return false;
            };
        }

        private static Predicate<Object> contains(String wanted) {
            return value -> ((String) value).contains(wanted);
        }

        private static Set<Object> scalars(JsonNode operands) {
            Set<Object> wanted = new HashSet<>();
            operands.forEach(operand -> wanted.add(scalar(operand)));
            return wanted;
        }

        private static Object scalar(JsonNode operand) {
            if (!operand.isTextual() && !operand.isBoolean()) {
                throw new IllegalArgumentException("this benchmark's segments compare texts and booleans, not " + operand);
            }
            return operand.isBoolean() ? (Object) operand.asBoolean() : operand.asText();
        }

        private static long days(JsonNode operand) {
            String duration = operand.asText();
            if (!duration.endsWith("d")) {
                throw new IllegalArgumentException("this benchmark's durations are days, not " + duration);
            }
            return Long.parseLong(duration.substring(0, duration.length() - 1)) * DAY_MS;
        }
    }
}
