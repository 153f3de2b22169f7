import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Writes one contact change for each contact id on standard input (base64, one a line), and prints its partition. */
public final class Produce {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        BufferedReader ids = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        byte[] value = "{\"attributes\":{}}".getBytes(StandardCharsets.UTF_8);
        try (KafkaProducer<String, byte[]> producer =
                new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer())) {
            for (String line = ids.readLine(); line != null; line = ids.readLine()) {
                String id = new String(Base64.getDecoder().decode(line), StandardCharsets.UTF_8);
                System.out.println(producer.send(new ProducerRecord<>(arguments[1], id, value)).get().partition());
            }
        }
    }
}
