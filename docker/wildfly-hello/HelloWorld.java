import java.util.concurrent.atomic.AtomicLong;

import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

/** Answers /helloworld/ with the number of requests before this one, which only this process's memory holds. */
public final class HelloWorld extends Handler.Abstract {
    private final AtomicLong requests = new AtomicLong();

    @Override
    public boolean handle(Request request, Response response, Callback callback) {
        boolean found = Request.getPathInContext(request).equals("/helloworld/");
        int status = found ? 200 : 404;
        String answer = found ? Long.toString(requests.getAndIncrement()) : "not found";
        // The log lets a lesson look at the counter without counting.
        System.out.println(request.getMethod() + " " + request.getHttpURI().getPath() + " " + status + " " + answer);
        response.setStatus(status);
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, "text/plain");
        Content.Sink.write(response, true, answer + "\n", callback);
        return true;
    }

    public static void main(String[] args) throws Exception {
        // One acceptor, one selector and some to answer with: every thread more is one more for CRIU to seize.
        Server server = new Server(new QueuedThreadPool(8, 8));
        ServerConnector connector = new ServerConnector(server, 1, 1);
        connector.setPort(8080);
        server.addConnector(connector);
        server.setHandler(new HelloWorld());
        server.start();
        System.out.println("listening on " + connector.getPort());
    }
}
