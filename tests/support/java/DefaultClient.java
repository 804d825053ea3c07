import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Posts standard input as JSON to an address with Java's HttpClient as it comes: it offers h2c. */
public final class DefaultClient {
    public static void main(String[] arguments) throws Exception {
        byte[] body = System.in.readAllBytes();
        HttpClient client = HttpClient.newHttpClient();
        for (String way : new String[] {"length", "chunks", "length"}) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                    .header("Content-Type", "application/json")
                    .POST(way.equals("length")
                            ? BodyPublishers.ofByteArray(body)
                            : BodyPublishers.ofInputStream(() -> (InputStream) new java.io.ByteArrayInputStream(body)))
                    .build();
            var answer = client.send(request, BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
